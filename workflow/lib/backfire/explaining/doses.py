"""Dose and response: what wrong labels cost, from variants that differ in nothing but how many of theirs are swapped.

The line is that of least squares through the values of each query (and seed) at the doses, so that its slope has the
intervals and tests of any paired difference (see `evaluation.comparison`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backfire.evaluation.comparison import Rules, adjust_exploring, tested
from backfire.evaluation.families import CLAIMS, EXPLORES
from backfire.evaluation.perquery import Place, Store, read_store
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import write_rows

LINE, DOSE = "line", "dose"
STEP = 0.1
"""The share of labels that a slope is told for: what ten more of a hundred cost."""


def measure_doses(
    measures: Sequence[str | Path],
    groups: Sequence[Sequence[Sequence]],
    places: Sequence[Place],
    primary: Place,
    rules: Rules,
    output: str | Path,
) -> None:
    """Write the table `doses`: of each group (variant, share) a line and its points, at each of `places`.

    Lines at `primary` are claims, adjusted for one another; those elsewhere explore. A point is the difference from the
    group's smallest dose, which explores too.
    """
    store = read_store(*measures)
    rows = [row for place in places for row in _at(store, groups, place, place == primary, rules)]
    adjust_exploring([row for row in rows if row.get("family") == EXPLORES and row.get("p") is not None])
    write_rows(output, "doses", [{name: row.get(name) for name in SCHEMAS["doses"].names} for row in rows])


def _at(
    store: Store, groups: Sequence[Sequence[Sequence]], place: Place, primary: bool, rules: Rules
) -> list[dict[str, Any]]:
    values = {name: store.at(place, name).values for group in groups for name, _ in group}
    slopes = {
        (group[0][0], "doses"): STEP * slope([values[name] for name, _ in group], _doses(group)) for group in groups
    }
    lines = tested(slopes, place, CLAIMS if primary else EXPLORES, rules)
    rows = []
    for group, line in zip(groups, lines, strict=True):
        least = group[0][0]
        first = values[least]
        head = dict(zip(("collection", "split", "measure"), place, strict=True)) | {"group": least}
        head |= {"seeds": first.shape[0], "queries": first.shape[1], "reference_mean": float(first.mean())}
        rows.append(line | head | {"part": LINE, "variant": None, "dose": STEP, "mean": None})
        points = {(name, least): store.differences(place, name, least) for name, _ in group[1:]}
        told = dict(zip([name for name, _ in group[1:]], tested(points, place, EXPLORES, rules), strict=True))
        for name, dose in group:
            row = {"part": DOSE, "variant": name, "dose": dose, "mean": float(values[name].mean())}
            rows.append({"delta": 0.0} | told.get(name, {}) | head | row)
    return rows


def slope(values: Sequence[np.ndarray], doses: np.ndarray) -> np.ndarray:
    """Slope of the least-squares line through `values` (seeds, queries), one for each of `doses`: (seeds, queries)."""
    centred = doses - doses.mean()
    weights = centred / np.sum(centred**2)
    return sum(weight * each for weight, each in zip(weights, values, strict=True))


def _doses(group: Sequence[Sequence]) -> np.ndarray:
    return np.array([dose for _, dose in group], dtype=float)
