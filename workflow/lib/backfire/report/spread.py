"""Whether fine-tuning flattened the space of the passages, or stretched it: sentences from the table `geometry`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backfire.explaining.moments import change_over_seeds
from backfire.report.numbers import interval, plain, signed
from backfire.study.variants import BASE

RATIO = "participation_ratio"
LENGTH = "raw_norm"
# From how many times base's length on vectors are told to be longer, or shorter by as much.
STRETCHED = 1.25
FLATTENED, WIDENED, UNSETTLED = "Flattened", "Widened", "No change that is settled"


def spread(rows: Iterable[dict[str, Any]], collection: str, variants: Iterable[str]) -> list[str]:
    """Sentences about a collection, from rows of the table `geometry`: base's space first, then who changed it.

    A space is flatter where the interval of the mean change, over passages and seeds (`change_over_seeds`), lies below
    0, and wider where it lies above. Lengths before normalisation follow where some differ from base's by `STRETCHED`.
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
        mean, low, high = change_over_seeds(changes, errors)
        kind = FLATTENED if high < 0 else WIDENED if low > 0 else UNSETTLED
        found[kind].append(f"{name} {signed(mean, 1)} {interval(low, high, 1)}")
    told += [f"{kind}: {', '.join(names)}." for kind, names in found.items() if names]
    return told + _stretched(values, variants)


def _stretched(values: Mapping[tuple[str, str], Sequence[float | None]], variants: Iterable[str]) -> list[str]:
    """A sentence about the variants whose vectors are much longer or shorter than base's, if there are any."""
    lengths = {name: values[name, LENGTH] for name in variants if (name, LENGTH) in values}
    means = {name: sum(found) / len(found) for name, found in lengths.items() if None not in found}
    base = means.pop(BASE, None)
    if not base:
        return []
    ratios = {name: mean / base for name, mean in means.items() if mean}
    far = [name for name, ratio in ratios.items() if max(ratio, 1 / ratio) >= STRETCHED]
    if not far:
        return []
    parts = ", ".join(f"{name} {plain(means[name], 1)} ({plain(ratios[name], 1)} times)" for name in far)
    return [f"Vectors before normalisation, {plain(base, 1)} long under {BASE}: {parts}; a cosine does not see it."]
