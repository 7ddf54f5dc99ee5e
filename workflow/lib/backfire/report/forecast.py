"""What was seen before training, on the page, and what became of the variants with a fault."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backfire.forecast.findings import FAULT, RISK, Finding
from backfire.forecast.page import HEADINGS, grouped
from backfire.formats.atomic import read_json
from backfire.report.numbers import count, names

_OUTCOMES = {
    "HARMS": "backfired",
    "HELPS": "helped",
    "EQUIVALENT": "made no difference that matters",
    "INCONCLUSIVE": "stayed open",
}


def forecast_section(path: str | Path, verdicts: Mapping[str, str]) -> dict[str, Any]:
    """`groups` of findings by how grave they are, how many are `counted`, in words, and `outcome`: what became of the
    variants with a fault.

    `verdicts`: those of the variants at the primary place.
    """
    found = [Finding(**each) for each in read_json(path)["findings"]]
    groups = []
    for grade, heading in HEADINGS.items():
        kinds = [
            {
                "found": [(each.about, each.found) for each in group],
                "why": group[0].why,
                "remedies": list(dict.fromkeys(each.remedy for each in group)),
                "sure": group[0].sure,
            }
            for group in grouped([each for each in found if each.grade == grade])
        ]
        if kinds:
            groups.append({"heading": heading, "kinds": kinds})
    counts = {grade: len(grouped([each for each in found if each.grade == grade])) for grade in (FAULT, RISK)}
    told = [count(number, word) for word, number in counts.items() if number]
    return {"groups": groups, "counted": names(told) or "no fault and no risk", "outcome": _outcome(found, verdicts)}


def _outcome(found: Iterable[Finding], verdicts: Mapping[str, str]) -> str:
    warned = dict.fromkeys(
        each.about.split(".")[1] for each in found if each.grade == FAULT and each.about.startswith("variants.")
    )
    told = [
        f"{names(some)} {outcome}"
        for verdict, outcome in _OUTCOMES.items()
        if (some := [name for name in warned if verdicts.get(name) == verdict])
    ]
    if not told:
        return ""
    return f"Of the recipes with a fault, {'; '.join(told)}. A fault costs more the longer a training goes on."
