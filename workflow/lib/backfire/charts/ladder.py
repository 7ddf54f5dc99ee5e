"""Waterfall: what each part of a recipe is worth, from one recipe to another."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from backfire.charts.style import FAINT, INK, VERDICT_COLOURS, VERDICT_MARKERS, difference, drawing, note
from backfire.formats.tables import read_rows

ROW = 0.42
BAR = 0.56


def plot_ladder(
    ladder: str | Path, primary: Sequence[str], alpha: float, ends: Sequence[str], svg: str | Path, png: str | Path
) -> None:
    """Draw the parts of the table `ladder` at `primary`, (collection, split, measure), the largest first.

    `ends` are the names of the two recipes; the intervals have confidence 1 - `alpha`. A factor whose part is not
    known gets no bar, and a line says so.
    """
    rows = [
        row
        for row in read_rows(ladder, "ladder").to_pylist()
        if (row["collection"], row["split"], row["measure"]) == tuple(primary)
    ]
    total = next(row for row in rows if row["part"] == "total")
    factors = [row for row in rows if row["part"] == "factor" and row["delta"] is not None]
    if not factors:
        with drawing(svg, png, height=1.2) as figure:
            note(figure, "Variants of the ladder diverged, so that no part of the recipe has a known share.")
        return
    factors.sort(key=lambda row: -abs(row["delta"]))
    with drawing(svg, png, height=1.1 + ROW * (len(factors) + 2)) as figure:
        axes = figure.add_subplot()
        reached, last = total["reference_mean"], len(factors) + 1
        _end(axes, 0, reached)
        for place, row in enumerate(factors, start=1):
            colour = VERDICT_COLOURS.get(row["verdict"], INK)
            axes.plot([reached, reached], [place - 1, place], color=FAINT, linewidth=0.9, zorder=1)
            axes.barh(place, row["delta"], left=reached, height=BAR, color=colour, alpha=0.55, linewidth=0)
            if row["ci_low"] is not None:
                span = [reached + row["ci_low"], reached + row["ci_high"]]
                axes.plot(span, [place, place], color=colour, linewidth=2, solid_capstyle="round")
            reached += row["delta"]
            axes.plot(reached, place, VERDICT_MARKERS.get(row["verdict"], "o"), color=colour, markersize=6.5)
            axes.text(
                1.01,
                place,
                difference(row),
                transform=axes.get_yaxis_transform(),
                va="center",
                color=colour,
            )
        axes.plot([reached, reached], [last - 1, last], color=FAINT, linewidth=0.9, zorder=1)
        _end(axes, last, total["mean"])
        axes.text(1.01, last, difference(total), transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(last + 1), [ends[0], *(row["name"] for row in factors), ends[1]])
        axes.set_ylim(last + 0.6, -0.6)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.use_sticky_edges = False  # Else bars end at the frame.
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel(f"{primary[2]} on {primary[0]}/{primary[1]}, with {100 * (1 - alpha):g} % intervals")


def _end(axes, place: int, mean: float) -> None:
    axes.plot(mean, place, "D", color=INK, markersize=7, zorder=3)
    axes.annotate(f"{mean:.4f}", (mean, place), xytext=(9, 0), textcoords="offset points", va="center")
