"""How much of the difference between two recipes each part of the recipe is worth, query by query.

Along an order the factors are changed one after another, and each change moves the values. A factor's part is the mean
of what it moves over the orders: over all of them the Shapley value (Shapley, A Value for n-Person Games, 1953), of
each query and seed, so that intervals and tests are those of any paired difference. Along each order the changes add up
to the difference between the recipes, and so do the parts, over any set of orders.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np

from backfire.evaluation.comparison import Rules, adjust_exploring, concluded, tested
from backfire.evaluation.families import CLAIMS, EXPLORES
from backfire.evaluation.perquery import Place, Store, read_store
from backfire.evaluation.significance.intervals import crossed_interval
from backfire.formats.atomic import read_json
from backfire.formats.delimited import write_csv
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import write_rows
from backfire.keyed import keyed_rng

log = logging.getLogger(__name__)

TOTAL, FACTOR, INTERACTION, RUNG = "total", "factor", "interaction", "rung"
Taken = frozenset[str]
Shares = dict[Taken, Fraction]
"""By how much the values of each rung, named by its factors, count."""


@dataclass(frozen=True)
class Rungs:
    """The variants between two recipes, as `study.ladder` makes them."""

    start: str
    end: str
    factors: Sequence[str]
    orders: Sequence[Sequence[str]]
    rungs: Sequence[tuple[str, Sequence[str]]]
    """Each variant with its factors that are as `end` has them, both ends included, in the order of the table."""

    @property
    def names(self) -> dict[Taken, str]:
        """The variant with each set of factors."""
        return {frozenset(taken): name for name, taken in self.rungs}


def attribute_ladder(
    measures: Sequence[str | Path],
    models: Mapping[tuple[str, int], str | Path],
    ladder: Rungs,
    places: Sequence[Place],
    primary: Place,
    rules: Rules,
    parquet: str | Path,
    csv: str | Path,
) -> None:
    """Share out the difference between the ends of a ladder and write the table `ladder`, twice. See `attributed`.

    `measures` are the tables of every run of the ladder, `models` the folders of those that are trained for it alone,
    by (variant, seed).
    """
    lost: dict[str, str] = {}
    for (variant, seed), folder in models.items():
        if said := read_json(Path(folder) / "training.json").get("diverged"):
            lost.setdefault(variant, f"seed {seed}: {said}")
    rows = attributed(read_store(*measures), ladder, places, primary, rules, lost)
    for row in rows:
        if row["family"] == CLAIMS:
            log.info("%s: %s", row["name"], "not known" if row["delta"] is None else f"{row['delta']:+.4f}")
    write_rows(parquet, "ladder", rows)
    write_csv(csv, "ladder", rows)


def attributed(
    store: Store,
    ladder: Rungs,
    places: Sequence[Place],
    primary: Place,
    rules: Rules,
    lost: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of the table `ladder`: at each place the total, every factor, every two factors, every rung.

    Factors at `primary` make claims, adjusted for one another; the total there is tested by itself; all else explores
    (see `evaluation.comparison`). `lost` says of each variant that diverged how: orders that pass through it are left
    out, and where none remains, or for interactions where any is missing, what they would say is null.
    """
    lost = lost or {}
    rows = [row for place in places for row in _at(store, ladder, place, place == primary, rules, lost)]
    for row in rows:
        # What cancels but for rounding is no difference.
        if row.get("delta") is not None and abs(row["delta"]) < 1e-14:
            row["delta"] = 0.0
    judged = [row for row in rows if row.get("p") is not None]
    adjust_exploring([row for row in judged if row["family"] == EXPLORES])
    for row in judged:
        row["verdict"] = concluded(row, rules.alpha).value
    return [{name: row.get(name) for name in SCHEMAS["ladder"].names} for row in rows]


def _at(
    store: Store, ladder: Rungs, place: Place, primary: bool, rules: Rules, lost: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The rows of one place, of which those that explore are not adjusted yet."""
    values = {taken: store.at(place, name).values for taken, name in ladder.names.items() if name not in lost}
    orders = [order for order in ladder.orders if values.keys() >= set(_passed(order))]
    between, every = f"{ladder.start} to {ladder.end}", frozenset(ladder.factors)

    def told(shares: Mapping[str, Shares], family: str) -> dict[str, dict[str, Any]]:
        crossed = {(name, between): _sum(each, values) for name, each in shares.items()}
        return dict(zip(shares, tested(crossed, place, family, rules), strict=True))

    # Its draws are those of the second end's own row, so that both have the same interval.
    whole = {(ladder.end, ladder.start): store.differences(place, ladder.end, ladder.start)}
    [total] = tested(whole, place, TOTAL if primary else EXPLORES, rules)
    claims = CLAIMS if primary else EXPLORES
    parts = told({name: part_of(name, orders) for name in ladder.factors} if orders else {}, claims)
    pairs = {f"{one}:{other}": (one, other) for one, other in combinations(ladder.factors, 2)}
    known = {name: interaction_of(*pair, ladder.factors) for name, pair in pairs.items()}
    together = told({name: shares for name, shares in known.items() if values.keys() >= shares.keys()}, EXPLORES)

    scores = store.at(place, ladder.start)
    head = dict(zip(("collection", "split", "measure"), place, strict=True))
    head |= {"seeds": len(scores.seeds), "queries": len(scores.queries), "reference_mean": float(scores.means.mean())}
    end = float(store.at(place, ladder.end).means.mean())
    rows = [total | head | {"part": TOTAL, "name": between, "factors": sorted(every), "mean": end}]
    for name in ladder.factors:
        steps = {"alone": _step(values, frozenset(), name), "last": _step(values, every - {name}, name)}
        row = head | {"part": FACTOR, "name": name, "factors": [name], "family": claims, "orders": len(orders)}
        rows.append(parts.get(name, {}) | row | steps)
    for name, pair in pairs.items():
        row = head | {"part": INTERACTION, "name": name, "factors": list(pair), "family": EXPLORES}
        rows.append(together.get(name, {}) | row)
    return rows + [head | _rung(store, ladder, rung, place, rules, lost.get(rung[0])) for rung in ladder.rungs]


def _rung(
    store: Store,
    ladder: Rungs,
    rung: tuple[str, Sequence[str]],
    place: Place,
    rules: Rules,
    diverged: str | None,
) -> dict[str, Any]:
    """What is told of a variant of the ladder: its mean and, with an interval, its difference from the first end."""
    name, taken = rung
    row = {"part": RUNG, "name": name, "factors": list(taken), "diverged": diverged}
    if diverged:
        return row
    differences = store.differences(place, name, ladder.start)
    rng = keyed_rng("bootstrap", rules.seed, name, ladder.start, *place)
    low, high = crossed_interval(differences, 1 - rules.alpha, rules.resamples, rng) or (None, None)
    mean = float(store.at(place, name).means.mean())
    return row | {"mean": mean, "delta": float(differences.mean()), "ci_low": low, "ci_high": high}


def _step(values: Mapping[Taken, np.ndarray], before: Taken, factor: str) -> float | None:
    """What a factor changes after some others, the mean over seeds and queries; None where a rung is missing."""
    both = [values.get(taken) for taken in (before, before | {factor})]
    return None if any(each is None for each in both) else float((both[1] - both[0]).mean())


def part_of(factor: str, orders: Sequence[Sequence[str]]) -> Shares:
    """Shares of the rungs in what a factor changes, the mean over some orders."""
    shares: Counter[Taken] = Counter()
    for order in orders:
        before = frozenset(order[: order.index(factor)])
        shares[before] -= 1
        shares[before | {factor}] += 1
    return {taken: Fraction(count, len(orders)) for taken, count in shares.items() if count}


def interaction_of(one: str, other: str, factors: Sequence[str]) -> Shares:
    """Shares of the rungs in the Shapley interaction index of two factors: what they change together beyond what each
    changes, over all orders of the others (Grabisch and Roubens, International Journal of Game Theory 1999)."""
    rest = [name for name in factors if name not in (one, other)]
    shares: Shares = {}
    for count in range(len(rest) + 1):
        weight = Fraction(factorial(count) * factorial(len(rest) - count), factorial(len(rest) + 1))
        for before in map(frozenset, combinations(rest, count)):
            for added, sign in ((set(), 1), ({one}, -1), ({other}, -1), ({one, other}, 1)):
                shares[before | added] = sign * weight
    return shares


def _passed(order: Sequence[str]) -> list[Taken]:
    return [frozenset(order[:count]) for count in range(len(order) + 1)]


def _sum(shares: Shares, values: Mapping[Taken, np.ndarray]) -> np.ndarray:
    """Values of the rungs, each with its share, shape (seeds, queries); what cancels but for rounding is 0."""
    found = sum(float(share) * values[taken] for taken, share in shares.items())
    return np.where(np.abs(found) < 1e-14, 0.0, found)
