"""What was seen before training, on the page, and what became of those that it warned of."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backfire.forecast.findings import FAULT, NOTE, Finding
from backfire.forecast.page import HEADINGS, grouped
from backfire.formats.atomic import read_json
from backfire.report.numbers import names

_OUTCOMES = {
    "HARMS": "backfired",
    "HELPS": "helped",
    "EQUIVALENT": "made no difference that matters",
    "INCONCLUSIVE": "stayed open",
}


def forecast_section(path: str | Path, verdicts: Mapping[str, str]) -> dict[str, Any]:
    """`groups` of findings by how grave they are, and `outcome`: a sentence on the variants that were to go wrong.

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
            groups.append({"heading": heading, "open": grade != NOTE, "kinds": kinds})
    return {"groups": groups, "outcome": _outcome(found, verdicts)}


def _outcome(found: Iterable[Finding], verdicts: Mapping[str, str]) -> str:
    warned = dict.fromkeys(
        each.about.split(".")[1] for each in found if each.grade == FAULT and each.about.startswith("variants.")
    )
    told = [
        f"{names(some)} {outcome}"
        for verdict, outcome in _OUTCOMES.items()
        if (some := [name for name in warned if verdicts.get(name) == verdict])
    ]
    return f"What became of the recipes that were to go wrong: {'; '.join(told)}." if told else ""
