"""What the protocol of evaluation is worth, as a table and a sentence that its numbers support."""

from pathlib import Path
from typing import Any

from backfire.formats.tables import read_rows
from backfire.report.findings import Row
from backfire.report.numbers import count, interval, plain, signed

FACTORS = {
    "text": "Text of a passage",
    "max_length": "Maximum length",
    "precision": "Precision",
    "identical ids": "Passages with the query's own id",
    "ties": "Order of equal scores",
}
"""Heading of each factor in the table `protocol`."""


def protocol_table(path: str | Path, measure: str) -> dict[str, Any]:
    """The table `protocol` for the page: a row per choice, a cell per measure, and a sentence on `measure`."""
    rows = read_rows(path, "protocol").to_pylist()
    cells: dict[tuple[str, str, bool], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row["factor"], row["choice"], row["own"]), {})[row["measure"]] = row
    return {
        "place": f"{rows[0]['collection']}/{rows[0]['split']}",
        "queries": count(rows[0]["queries"], "query", "queries"),
        "measures": list(dict.fromkeys(row["measure"] for row in rows)),
        "rows": [
            {"factor": FACTORS[factor], "choice": choice, "own": own, "cells": [_cell(row) for row in found.values()]}
            for (factor, choice, own), found in cells.items()
        ],
        "sentence": worth([row for row in rows if row["measure"] == measure]),
    }


def worth(rows: list[Row]) -> str:
    """How far single choices move a measure of base; `rows` of the table `protocol`, all of that measure."""
    measure, place = rows[0]["measure"], f"{rows[0]['collection']}/{rows[0]['split']}"
    others = [row for row in rows if not row["own"]]
    moved = [row for row in others if row["changed"]]
    if not moved:
        return f"None of the {len(others)} other choices changes {measure} of any query of {place}."
    largest = max(moved, key=lambda row: abs(row["delta"]))
    own = next(row["choice"] for row in rows if row["own"] and row["factor"] == largest["factor"])
    bounds = largest["ci_low"], largest["ci_high"]
    sure = None not in bounds and (bounds[0] > 0 or bounds[1] < 0)
    doubt = "" if sure else ", which these queries cannot tell from 0"
    factor = FACTORS[largest["factor"]]
    still, reach = len(others) - len(moved), plain(abs(largest["delta"]))
    lesson = f" So two evaluations of the same weights can lie {reach} apart through this choice alone."
    return (
        f"The choice that moves {measure} of base on {place} most is {factor[:1].lower()}{factor[1:]} "
        f"{largest['choice']} instead of {own}: {signed(largest['delta'])} {interval(*bounds)}{doubt}; "
        f"{still} of the {len(others)} other choices {'changes' if still == 1 else 'change'} no query."
        f"{lesson if float(reach) else ''}"
    )


def _cell(row: Row) -> dict[str, str]:
    if row["own"]:
        return {"mean": plain(row["mean"])}
    if not row["changed"]:
        return {"mean": plain(row["mean"]), "changed": "no query differs"}
    return {
        "mean": plain(row["mean"]),
        "delta": signed(row["delta"]),
        "interval": interval(row["ci_low"], row["ci_high"]),
        "changed": count(row["changed"], "query differs", "queries differ"),
    }
