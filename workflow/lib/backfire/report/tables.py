"""The tables of the page, as rows of formatted text."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backfire.evaluation.verdict import Verdict, keeping, shortfall
from backfire.explaining.cost import Latency
from backfire.explaining.statistics import STATISTICS
from backfire.formats.tables import read_rows
from backfire.report.findings import Findings, Row
from backfire.report.numbers import MINUS, MISSING, count, interval, names, p_value, plain, quantity, signed
from backfire.report.spread import spread
from backfire.report.words import COST, GEOMETRY, relevance_note

# Percentiles of latency that the page shows.
LATENCIES = (50, 90, 99)


def comparison_tables(findings: Findings, grades: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """One table per (collection, split): a row per variant, a cell per measure.

    `grades` gives the lowest relevant grade of a (collection, split), 1 where it names none; another is told in a note.
    """
    tables = []
    for split in dict.fromkeys(place[:2] for place in findings.places):
        places = [place for place in findings.places if place[:2] == split]
        cells = {place[2]: findings.at(place) for place in places}
        variants = [name for name in findings.variants if any(name in rows for rows in cells.values())]
        queries = max(row["queries"] for rows in cells.values() for row in rows.values())
        tables.append(
            {
                "name": "/".join(split),
                "primary": split == findings.primary[:2],
                "queries": count(queries, "query", "queries"),
                "measures": list(cells),
                "note": relevance_note(cells, grades.get(split, 1)),
                "rows": [
                    {"variant": name, "cells": [_cell(rows.get(name), findings.alpha) for rows in cells.values()]}
                    for name in variants
                ],
            }
        )
    return tables


def _cell(row: Row | None, alpha: float) -> dict[str, str | None]:
    if row is None:
        return {"verdict": "", "mean": MISSING}
    if row["verdict"] == Verdict.BASE:
        return {"verdict": "BASE", "mean": plain(row["mean"])}
    return {
        "verdict": row["verdict"],
        "mean": plain(row["mean"]),
        "delta": signed(row["delta"]),
        "interval": interval(row["ci_low"], row["ci_high"]),
        "p": p_value(row["p_adjusted"]),
        "retention": row["retention"],
        "keeping": keeping(row, alpha).replace("-", MINUS) if row["retention"] else None,
        "shortfall": shortfall(row),
        "tally": f"{row['wins']} / {row['ties']} / {row['losses']}",
    }


def geometry_tables(path: str | Path, variants: Iterable[str]) -> list[dict[str, Any]]:
    """One table per collection: a row per quantity of `words.GEOMETRY`, a column per variant (mean of its seeds)."""
    stored, variants = read_rows(path, "geometry").to_pylist(), list(variants)
    values = _grouped(stored, ("collection", "variant", "quantity"))
    tables = []
    for collection in dict.fromkeys(key[0] for key in values):
        shown = [name for name in variants if any(key[:2] == (collection, name) for key in values)]
        rows = [
            {
                "title": title,
                "sampled": STATISTICS[term].sampled,
                "cells": [_described(values.get((collection, name, term))) for name in shown],
            }
            for term, (title, _) in GEOMETRY.items()
        ]
        counts = {
            term: max(_mean(of) for key, of in values.items() if key[0] == collection and key[2] == term)
            for term in ("sampled_passages", "judged_pairs")
        }
        tables.append(
            {
                "name": collection,
                "variants": shown,
                "spread": spread(stored, collection, shown),
                "rows": rows,
                "passages": count(counts["sampled_passages"], "passage"),
                "pairs": count(counts["judged_pairs"], "pair"),
            }
        )
    return tables


def cost_table(path: str | Path, variants: Iterable[str]) -> dict[str, Any]:
    """A row per variant (mean of its seeds), a column per quantity that any variant has."""
    rows = read_rows(path, "cost").to_pylist()
    values = _grouped(rows, ("variant", "quantity"))
    units = {row["quantity"]: row["unit"] for row in rows}
    columns = [name for name in COST if any(key[1] == name for key in values)]
    return {
        "columns": [COST[name] for name in columns],
        "rows": [
            {
                "variant": name,
                "cells": [quantity(_mean(values.get((name, column))), units[column]) for column in columns],
            }
            for name in variants
            if any(key[0] == name for key in values)
        ],
    }


def latency_table(path: str | Path, variants: Iterable[str]) -> dict[str, Any]:
    """A row per variant, two where it has an adapter; for each size of a batch the percentiles that it has in ms.

    `notes`: what an adapter that is not merged costs, a sentence for each variant that has one.
    """
    values = {
        key: _mean(of) for key, of in _grouped(read_rows(path, "cost").to_pylist(), ("variant", "quantity")).items()
    }
    found = {(name, latency) for name, quantity in values if (latency := Latency.named(quantity))}
    columns = sorted({(each.batch, each.percentile) for _, each in found if each.percentile in LATENCIES})
    batches = list(dict.fromkeys(batch for batch, _ in columns))
    rows, notes = [], []
    for name in variants:
        for unmerged in (False, True):
            if any((name, Latency(50, batch, unmerged)) in found for batch in batches):
                asked = [Latency(percentile, batch, unmerged).quantity for batch, percentile in columns]
                cells = [quantity(values.get((name, each)), "ms") for each in asked]
                rows.append({"variant": f"{name}, adapter not merged" if unmerged else name, "cells": cells})
        if (apart := values.get((name, "unmerged_difference"))) is not None:
            notes.append(_unmerged(name, {batch: _slower(values, name, batch) for batch in batches}, apart))
    return {
        "batches": [
            {"name": count(batch, "query", "queries"), "percentiles": [f"p{p}" for size, p in columns if size == batch]}
            for batch in batches
        ],
        "rows": rows,
        "notes": notes,
    }


def _slower(values: Mapping[tuple[str, str], float], name: str, batch: int) -> float:
    """How many times as long a batch takes at the median with the adapter not merged."""
    merged, unmerged = (values[name, Latency(50, batch, unmerged).quantity] for unmerged in (False, True))
    return unmerged / merged


def _unmerged(name: str, slower: Mapping[int, float], apart: float) -> str:
    times = names(
        f"{ratio:.2f} times ({'one query' if batch == 1 else f'{batch} queries'})" for batch, ratio in slower.items()
    )
    return (
        f"{name}: with its adapter beside the weights instead of merged into them, encoding takes {times} as long at "
        f"the median; the largest difference of a component of a vector, over the queries timed, is {apart:.2g}."
    )


def _grouped(rows: list[dict], keys: tuple[str, ...]) -> dict[tuple[str, ...], list[float]]:
    """Values by key, those of seeds together; an undefined value leaves its key out."""
    grouped: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        if row["value"] is not None:
            grouped.setdefault(tuple(row[key] for key in keys), []).append(row["value"])
    return grouped


def _described(values: list[float] | None) -> str:
    """Numbers of directions run to hundreds, cosines to 1: about as many digits for both."""
    value = _mean(values)
    return plain(value, 3 if value is None or abs(value) < 10 else 1)


def _mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None
