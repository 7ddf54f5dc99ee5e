"""What the order of equal scores is worth, as a sentence and a table of the means that depend on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backfire.formats.tables import read_rows
from backfire.report.findings import Row
from backfire.report.numbers import count, plain

# A mean that no order of ties moves further is shown as it is; it is half of the third decimal.
TOLERANCE = 0.0005


def ties_summary(path: str | Path, variants: Sequence[str]) -> dict[str, Any]:
    """The table `ties` for the page: a sentence, and the rows of means that some order moves beyond `TOLERANCE`.

    Rows are (variant, seed) by (collection, split, measure), in the order of `variants`.
    """
    rows = read_rows(path, "ties").to_pylist()
    # Sorting is stable, so rows of one variant keep the order of the table.
    affected = sorted((row for row in rows if reach(row) > TOLERANCE), key=lambda row: variants.index(row["variant"]))
    return {
        "sentence": _accident(affected, len(rows)) if affected else _harmless(rows),
        "rows": [
            {key: row[key] for key in ("variant", "seed", "measure")}
            | {key: plain(row[key]) for key in ("worst", "value", "best")}
            | {"place": _place(row), "queries": f"{count(row['tied_queries'])} of {count(row['queries'])}"}
            for row in affected
        ],
    }


def reach(row: Row) -> float:
    """How far an order of ties moves a mean, up or down."""
    return max(row["best"] - row["value"], row["value"] - row["worst"])


def _harmless(rows: list[Row]) -> str:
    rule = "Passages of equal score are ordered by id."
    most = max(rows, key=reach)
    if not reach(most):
        return f"{rule} No other order would change a value: no relevant passage ties with one that is not as relevant."
    queries = f"{count(most['tied_queries'], 'query', 'queries')} of {count(most['queries'])}"
    return (
        f"{rule} No other order would change a mean by more than {TOLERANCE:g}: the most that one depends on it is "
        f"{most['measure']} of {most['variant']} on {_place(most)}, between {plain(most['worst'], 5)} and "
        f"{plain(most['best'], 5)} ({queries})."
    )


def _accident(affected: list[Row], total: int) -> str:
    return (
        f"Passages of equal score are ordered by id, and {len(affected)} of {count(total, 'mean')} would differ by "
        f"more than {TOLERANCE:g} in another order. Such a number is an accident of the order, and so is a difference "
        "from base that is smaller than its range. The usual cause is a collapsed model, which gives many passages the "
        "same score (compare its mean cosine below); a few ties come from passages that the corpus holds twice."
    )


def _place(row: Row) -> str:
    return f"{row['collection']}/{row['split']}"
