"""Which part of the recipe did it: sentences and tables from the table `ladder`."""

from collections.abc import Mapping, Sequence
from math import factorial
from pathlib import Path
from typing import Any

from backfire.evaluation.verdict import Verdict
from backfire.formats.tables import read_rows
from backfire.report.findings import Row
from backfire.report.numbers import ARROW, count, interval, names, p_value, plain, signed
from backfire.study.ladder import Ladder

SETTLED = {
    Verdict.HARMS: "lowers it",
    Verdict.HELPS: "raises it",
    Verdict.EQUIVALENT: "no difference that matters",
    Verdict.INCONCLUSIVE: "not known",
}
"""What a verdict on a part of a recipe says."""
WHOLE = {
    Verdict.HARMS: "falls",
    Verdict.HELPS: "rises",
    Verdict.EQUIVALENT: "does not change by anything that matters",
    Verdict.INCONCLUSIVE: "may have changed or not, which these queries do not settle",
}
"""And one on the whole difference."""


def ladder_section(path: str | Path, ladder: Ladder, primary: Sequence[str]) -> dict[str, Any]:
    """What the page says of a ladder: sentences on the primary place, and tables of parts, pairs and variants."""
    rows = read_rows(path, "ladder").to_pylist()
    places = list(dict.fromkeys((row["collection"], row["split"]) for row in rows))
    places.sort(key=lambda place: place != tuple(primary[:2]))
    by_place = {place: [row for row in rows if (row["collection"], row["split"]) == place] for place in places}
    here = by_place[tuple(primary[:2])]
    factors = sorted(_of(here, "factor"), key=lambda row: -abs(row["delta"] or 0.0))
    total, pairs = _of(here, "total")[0], _of(here, "interaction")
    return {
        "ends": [ladder.start, ladder.end],
        "orders": _orders(ladder, factors[0]["orders"]),
        "settled": SETTLED[total["verdict"]],
        "p": p_value(total["p_adjusted"]),
        "missing": all(row["delta"] is None for row in pairs),
        "sentences": [*sentences(here, ladder, primary), *_elsewhere(by_place, primary)],
        "places": ["/".join(place) for place in places],
        "factors": [
            {
                "name": row["name"],
                "changes": [f"{key}: {before} {ARROW} {after}" for key, before, after in ladder.changes[row["name"]]],
                "settled": SETTLED.get(row["verdict"], "not known"),
                "p": p_value(row["p_adjusted"]),
                "alone": signed(row["alone"]),
                "last": signed(row["last"]),
                "cells": [_cell(_named(by_place[place], "factor", row["name"])) for place in places],
            }
            for row in factors
        ],
        "total": [_cell(_of(by_place[place], "total")[0]) for place in places],
        "pairs": [
            {
                "name": names(row["factors"]),
                "cells": [_cell(_named(by_place[place], "interaction", row["name"])) for place in places],
            }
            for row in pairs
        ],
        "rungs": [
            {
                "name": row["name"],
                "factors": names(row["factors"]) or "none",
                "diverged": row["diverged"],
                "cells": [
                    {"mean": plain(each["mean"])} | _cell(each)
                    for each in (_named(by_place[place], "rung", row["name"]) for place in places)
                ],
            }
            for row in _of(here, "rung")
        ],
    }


def method_of(ladder: Ladder, seeds: int) -> str:
    """How the parts of a recipe are told, as a paragraph of the method."""
    changes = names(
        f"{factor} ({', '.join(f'{key} {before} {ARROW} {after}' for key, before, after in changed)})"
        for factor, changed in ladder.changes.items()
    )
    orders = _orders(ladder, len(ladder.orders))
    made = (
        f"; {count(len(ladder.made), 'variant')} between the two {'was' if len(ladder.made) == 1 else 'were'} trained"
    )
    again = f" and ranked for that alone, with {count(seeds, 'seed')}" if ladder.made else ""
    return (
        f"{ladder.start} and {ladder.end} differ in {changes}. What each of these is worth is what it changes, query "
        f"by query, averaged over {orders}{made}{again}. "
        "Intervals and tests are those of differences between variants; the parts at the primary measure are adjusted "
        "for one another by step-down maxT, all else by Benjamini-Hochberg."
    )


def _orders(ladder: Ladder, count: int) -> str:
    """Over which orders parts are averaged: only over all of them is that the Shapley value."""
    whole = factorial(len(ladder.factors))
    if count == whole:
        return f"all {whole:,} orders in which the factors can be changed one after another (the Shapley value)"
    return f"{count:,} of the {whole:,} orders in which the factors can be changed one after another"


def sentences(rows: Sequence[Row], ladder: Ladder, primary: Sequence[str]) -> list[str]:
    """What the rows of the primary place say: the total and its parts, what is settled, and what is missing."""
    collection, split, measure = primary
    total = _of(rows, "total")[0]
    factors = sorted(_of(rows, "factor"), key=lambda row: -abs(row["delta"] or 0.0))
    lost = [row for row in _of(rows, "rung") if row["diverged"]]
    begun = (
        f"From {ladder.start} to {ladder.end}, {measure} on {collection}/{split} {WHOLE[total['verdict']]}: "
        f"{plain(total['reference_mean'])} to {plain(total['mean'])}, {_told(total)}"
    )
    told = []
    orders = factors[0]["orders"]
    if orders:
        parts = ", ".join(f"{row['name']} {_told(row)}" for row in factors)
        told.append(f"{begun}. Its parts, which add up to it: {parts}.")
        said = {
            words: [row["name"] for row in factors if row["verdict"] == verdict] for verdict, words in SETTLED.items()
        }
        told.append(f"{'; '.join(f'{words}: {names(found)}' for words, found in said.items() if found).capitalize()}.")
    else:
        told.append(f"{begun}. What its parts are worth is not known.")
    if lost:
        diverged = names(f"{row['name']} ({row['diverged']})" for row in lost)
        through = "it" if len(lost) == 1 else "them"
        left = f"{orders} of {len(ladder.orders)} remain" if orders else "none remains, so that no part is known"
        told.append(
            f"Training diverged for {diverged}; orders of the factors that pass through {through} are left out: {left}."
        )
    together = [row for row in _of(rows, "interaction") if row["verdict"] in (Verdict.HELPS, Verdict.HARMS)]
    others = ", averaged over the other factors" if len(factors) > 2 else ""
    for row in together:
        told.append(
            f"{names(row['factors']).capitalize()} depend on each other (exploratory): both together change it by "
            f"{_told(row)} beyond what they change one by one{others}."
        )
    return told


def _elsewhere(by_place: Mapping[tuple[str, str], Sequence[Row]], primary: Sequence[str]) -> list[str]:
    """A sentence for each other place where a part is settled."""
    told = []
    for place, rows in by_place.items():
        settled = [row for row in _of(rows, "factor") if row["verdict"] in (Verdict.HELPS, Verdict.HARMS)]
        if place == tuple(primary[:2]) or not settled:
            continue
        total = _of(rows, "total")[0]
        parts = names(
            f"{row['name']} {SETTLED[row['verdict']]} by {plain(abs(row['delta']))}"
            for row in sorted(settled, key=lambda row: -abs(row["delta"]))
        )
        told.append(f"On {'/'.join(place)} ({signed(total['delta'])} in all), {parts} (exploratory).")
    return told


def _told(row: Row) -> str:
    return f"{signed(row['delta'])} {interval(row['ci_low'], row['ci_high'])}"


def _of(rows: Sequence[Row], part: str) -> list[Row]:
    return [row for row in rows if row["part"] == part]


def _named(rows: Sequence[Row], part: str, name: str) -> Row:
    return next(row for row in rows if (row["part"], row["name"]) == (part, name))


def _cell(row: Row) -> dict[str, str]:
    return {
        "delta": signed(row["delta"]),
        "interval": "" if row["delta"] is None else interval(row["ci_low"], row["ci_high"]),
    }
