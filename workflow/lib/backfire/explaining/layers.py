"""What a training did to each layer, over all its looks: from a table `layers`."""

import statistics
from collections.abc import Sequence
from typing import Any


def by_layer(looks: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """`place`, `drift`, `grad_norm` and `update_ratio` of each layer by its name, from the rows of one training.

    The drift is that where training ended, the others are medians over the looks; None where there is none.
    """
    last = max((row["step"] for row in looks), default=0)
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in looks:
        grouped.setdefault(row["layer"], []).append(row)
    return {
        layer: {"place": rows[0]["place"], "drift": next(row["drift"] for row in rows if row["step"] == last)}
        | {name: _median(rows, name) for name in ("grad_norm", "update_ratio")}
        for layer, rows in grouped.items()
    }


def _median(rows: Sequence[dict[str, Any]], column: str) -> float | None:
    values = [row[column] for row in rows if row[column] is not None]
    return statistics.median(values) if values else None
