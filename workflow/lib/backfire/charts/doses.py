"""Dose and response: effectiveness by the share of labels that are wrong, with the line through it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backfire.charts.style import FAINT, drawing, variant_styles
from backfire.formats.tables import read_rows


def plot_doses(
    doses: str | Path, primary: Sequence[str], variants: list[str], svg: str | Path, png: str | Path
) -> None:
    """Draw the points and the line of each group of the table `doses` at `primary`, (collection, split, measure).

    A point is the difference from the smallest dose, with its interval. The line is that of least squares through the
    means, whose slope is the table's. `variants` are all of the study, in its order, which sets the colours.
    """
    rows = [
        row
        for row in read_rows(doses, "doses").to_pylist()
        if (row["collection"], row["split"], row["measure"]) == tuple(primary)
    ]
    styles = variant_styles(variants)
    with drawing(svg, png, height=3.2) as figure:
        axes = figure.subplots()
        axes.axhline(0, color=FAINT, linewidth=0.9)
        for group in dict.fromkeys(row["group"] for row in rows):
            colour = styles[group]["color"]
            points = [row for row in rows if row["group"] == group and row["part"] == "dose"]
            line = next(row for row in rows if row["group"] == group and row["part"] == "line")
            x, y = (np.array([row[key] for row in points]) for key in ("dose", "delta"))
            for row in points:
                if row["ci_low"] is not None:
                    axes.plot([row["dose"]] * 2, [row["ci_low"], row["ci_high"]], color=colour, linewidth=1.2)
            axes.plot(x, y, linestyle="", marker="o", markersize=5, color=colour, label=group)
            ends = np.array([x.min(), x.max()])
            axes.plot(ends, y.mean() + line["delta"] / line["dose"] * (ends - x.mean()), color=colour, linewidth=1)
        axes.set_xlabel("share of examples whose positive and negative have changed places")
        axes.set_ylabel(f"change of {primary[2]}")
        axes.legend(loc="lower left")
