"""What the negatives of each training set are: sentences and tables from `forensics` and `filter_curves`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backfire.explaining.triple_facts import FACTS, LIKELY, SAMPLE, TEACHER
from backfire.formats.tables import read_rows
from backfire.report.numbers import MISSING, count, interval, p_value, plain, signed
from backfire.study.triples import Triples


def forensics_section(facts: str | Path, filters: str | Path, triples: Mapping[str, Triples]) -> dict[str, Any] | None:
    """What the page says of the negatives, a column for each set; None where no variant trains on any."""
    found = {(row["triples"], row["fact"]): row for row in read_rows(facts, "forensics").to_pylist()}
    curves = {(row["triples"], row["relative_margin"]): row for row in read_rows(filters, "filter_curves").to_pylist()}
    sets = list(dict.fromkeys(name for name, _ in found))
    if not sets:
        return None
    margins = list(dict.fromkeys(margin for _, margin in curves))
    return {
        "sets": sets,
        "sampled": count(SAMPLE, "query", "queries"),
        "sentences": [_sentence(name, found, curves, triples[name]) for name in sets],
        "rows": [
            {"title": fact.heading, "cells": [_cell(found[name, key], fact.share) for name in sets]}
            for key, fact in FACTS.items()
            if any(found[name, key]["value"] is not None for name in sets)
        ],
        "terms": [(fact.heading, fact.meaning) for fact in FACTS.values()],
        "judged": any(row["judge"] == TEACHER for row in curves.values()),
        "filters": [
            {"margin": f"{margin:g}", "cells": [_kept(curves[name, margin]) for name in sets]} for margin in margins
        ],
    }


def _sentence(name: str, found: Mapping, curves: Mapping, triples: Triples) -> str:
    """How many of a set's negatives are likely to be answers, who says so, and what a filter would leave."""
    likely, above = found[name, "likely_answer"], found[name, "above_positive"]
    taught = likely["judge"] == TEACHER
    by = f"by its teacher {triples.teacher['model']}" if taught else "by the base's own scores, which is a guess"
    kept = curves[name, LIKELY]
    left = f" and of these {_share(kept['answers'])} are likely answers" if taught and kept["kept"] else ""
    return (
        f"{name}: {_share(likely['value'])} of the negatives ({_share(likely['ci_low'])} to "
        f"{_share(likely['ci_high'])}) are likely answers, {by}; base scores {_share(above['value'])} at least as high "
        f"as the positive. A filter with relative_margin: {LIKELY:g} would keep {_share(kept['kept'])} of them{left}."
    )


def _share(value: float) -> str:
    """A share in per cent; what is neither none nor all is never written as if it were."""
    shown = f"{100 * value:.1f}"
    if 0 < value < 1 and shown in ("0.0", "100.0"):
        shown = "less than 0.1" if value < 0.5 else "more than 99.9"
    return f"{shown} %"


def _cell(row: Mapping[str, Any], share: bool) -> str:
    if row["value"] is None:
        return MISSING
    if share:
        return f"{_share(row['value'])} ({_share(row['ci_low'])} to {_share(row['ci_high'])})"
    whole = row["fact"] in ("negatives", "rank")
    return count(row["value"]) if whole else plain(row["value"], 3)


def _kept(row: Mapping[str, Any]) -> list[str]:
    """Of a filter and a set: the share that it keeps, and how many of these the teacher takes for answers."""
    answers = MISSING if row["answers"] is None else _share(row["answers"])
    return [_share(row["kept"]), answers]


def doses_told(path: str | Path, primary: Sequence[str]) -> list[str]:
    """What ten more wrong labels of a hundred change, a sentence for each group of variants and query set.

    That of the primary place comes first.
    """
    rows = [row for row in read_rows(path, "doses").to_pylist() if row["part"] == "line"]
    rows.sort(key=lambda row: (row["collection"], row["split"]) != tuple(primary[:2]))
    return [
        f"{row['group']}, {row['collection']}/{row['split']}: on average over these doses each {row['dose']:.0%} of "
        f"labels that are wrong changes {row['measure']} by {signed(row['delta'])} "
        f"{interval(row['ci_low'], row['ci_high'])} (adjusted p {p_value(row['p_adjusted'])}), by a line through them."
        for row in rows
    ]
