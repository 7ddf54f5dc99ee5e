"""Whether fine-tuning flattened the space of the passages: sentences from the table `geometry`."""

from collections.abc import Iterable
from typing import Any

from backfire.explaining.moments import ERRORS
from backfire.report.numbers import interval, plain, signed
from backfire.study.variants import BASE

RATIO = "participation_ratio"
FLATTENED, WIDENED, UNSETTLED = "Flattened", "Widened", "No change that passages settle"


def spread(rows: Iterable[dict[str, Any]], collection: str, variants: Iterable[str]) -> list[str]:
    """Sentences about a collection, from rows of the table `geometry`: base's space first, then who changed it.

    A space is flatter where the interval of every seed lies below 0, and wider where that of every seed lies above;
    what is told is the mean change of the seeds, from the lowest end of their intervals to the highest.
    """
    values: dict[tuple[str, str], list[float | None]] = {}
    for row in rows:
        if row["collection"] == collection:
            values.setdefault((row["variant"], row["quantity"]), []).append(row["value"])
    ratio = values.get((BASE, RATIO), [None])[0]
    if ratio is None:
        return []
    told = [f"Under {BASE} the passages spread in {plain(ratio, 1)} directions (participation ratio)."]
    found: dict[str, list[str]] = {FLATTENED: [], WIDENED: [], UNSETTLED: []}
    for name in variants:
        changes = values.get((name, f"{RATIO}_change"), [])
        errors = values.get((name, f"{RATIO}_change_se"), [])
        if not changes or None in (*changes, *errors):
            continue
        lows = [change - ERRORS * error for change, error in zip(changes, errors, strict=True)]
        highs = [change + ERRORS * error for change, error in zip(changes, errors, strict=True)]
        kind = FLATTENED if max(highs) < 0 else WIDENED if min(lows) > 0 else UNSETTLED
        mean = sum(changes) / len(changes)
        found[kind].append(f"{name} {signed(mean, 1)} {interval(min(lows), max(highs), 1)}")
    return told + [f"{kind}: {', '.join(names)}." for kind, names in found.items() if names]
