"""The systems of a study as a choice among them sees them: what each gains, what it loses elsewhere, what it takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backfire.evaluation.families import CLAIMING
from backfire.evaluation.verdict import Retention, Verdict
from backfire.recommending.costs import Cost
from backfire.study.variants import BASE

Row = Mapping[str, Any]


@dataclass(frozen=True)
class System:
    """One system of a study."""

    name: str
    verdict: Verdict
    """On the primary place; BASE for base."""
    delta: float
    """Difference from base there."""
    low: float | None
    high: float | None
    """Its interval."""
    falls: Sequence[str]
    """The other query sets, collection/split, on which it is worse than base by the primary measure."""
    open: Sequence[str]
    """Those of text that was not trained on for which that is not known."""
    cost: Cost


def systems_of(rows: Iterable[Row], primary: Sequence[str], costs: Mapping[str, Cost]) -> list[System]:
    """Base and every variant that makes a claim, from rows of the table `comparison`, in its order."""
    collection, split, measure = primary
    against_base = [row for row in rows if row["reference"] == BASE and row["measure"] == measure]
    found = []
    for row in against_base:
        here = (row["collection"], row["split"]) == (collection, split)
        if not here or not (row["variant"] == BASE or row["family"] in CLAIMING):
            continue
        others = [
            other
            for other in against_base
            if other["variant"] == row["variant"] and (other["collection"], other["split"]) != (collection, split)
        ]
        found.append(
            System(
                row["variant"],
                Verdict(row["verdict"]),
                row["delta"],
                row["ci_low"],
                row["ci_high"],
                [_place(other) for other in others if other["verdict"] == Verdict.HARMS],
                [_place(other) for other in others if other["retention"] == Retention.OPEN],
                costs[row["variant"]],
            )
        )
    return found


def _place(row: Row) -> str:
    return f"{row['collection']}/{row['split']}"
