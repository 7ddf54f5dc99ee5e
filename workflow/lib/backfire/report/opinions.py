"""What a judge says of the passages that took an answer's place, in words and in a table."""

from pathlib import Path
from typing import Any

from backfire.formats.tables import read_rows
from backfire.report.numbers import MISSING, SPACE, count, names, p_value
from backfire.study.judge import Judge

DIRECTIONS = {"loss": "lost to", "gain": "gained from"}


def opinions_section(path: str | Path, judge: Judge, variants: list[str], alpha: float) -> dict[str, Any] | None:
    """`told`, sentences, and `rows` of `cells` from the table `missing_labels`; None where nothing was judged."""
    rows = {(row["variant"], row["direction"]): row for row in read_rows(path, "missing_labels").to_pylist()}
    shown = [name for name in variants if (name, "loss") in rows]
    if not shown:
        return None
    told = [
        "Where the judge prefers a passage that nobody judged to the answer whose place it took, the query may be lost "
        "for want of a label; the others were ranked worse."
    ]
    differ = [name for name in shown if (p := rows[name, "loss"]["p_adjusted"]) is not None and p < alpha]
    for name in differ:
        lost, won = rows[name, "loss"], rows[name, "gain"]
        more = lost["share"] > won["share"]
        told.append(
            f"{name}: {'more' if more else 'less'} often where it loses ({lost['preferred']} of {lost['queries']}) "
            f"than where it gains ({won['preferred']} of {won['queries']}; adjusted p {p_value(lost['p_adjusted'])})."
        )
    if judge.followed:
        told.append(f"{names(judge.followed)} learned from this judge, which is no independent opinion of that.")
    if judge.reranked:
        told.append(f"Nothing is said of {names(judge.reranked)}, whose order is the judge's own.")
    return {
        "model": judge.model,
        "told": told,
        "rows": [
            {"variant": name, "direction": said, "cells": _cells(rows[name, direction])}
            for name in shown
            for direction, said in DIRECTIONS.items()
        ],
    }


def _cells(row: dict[str, Any]) -> list[str]:
    if not row["queries"]:
        return ["0", MISSING, MISSING]
    return [
        count(row["queries"]),
        count(row["preferred"]),
        f"{100 * row['share']:.0f}{SPACE}% [{100 * row['ci_low']:.0f}, {100 * row['ci_high']:.0f}]",
    ]
