"""Gain against cost: what each system of a study is worth, what it takes, and which of them nothing dominates."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from backfire.charts.style import FAINT, INK, VERDICT_COLOURS, VERDICT_MARKERS, drawing, note
from backfire.evaluation.verdict import Verdict
from backfire.formats.tables import read_rows
from backfire.recommending.make import CHOSEN

# Column of the table, and what its axis says.
PANELS = {
    "setup_time": "seconds to set it up: training, and encoding the passages again",
    "query_time": "milliseconds for a query: encoding, searching, reranking",
}


def plot_recommendation(
    table: str | Path, alpha: float, primary: Sequence[str], variants: list[str], svg: str | Path, png: str | Path
) -> None:
    """Draw the table `recommendation`: a panel for each cost, the difference from base upwards with its interval of
    confidence 1 - `alpha`. Systems on the Pareto front are joined; the one that is recommended is ringed. `variants` is
    the study's order, which numbers the points.
    """
    rows = [row for row in read_rows(table, "recommendation").to_pylist() if row["query_time"] is not None]
    if len(rows) < 2:
        with drawing(svg, png, height=1.2) as figure:
            note(figure, "This study holds no variant besides base whose cost is known, so there is nothing to weigh.")
        return
    numbers = {name: str(variants.index(name)) for name in variants}
    with drawing(svg, png, height=4.6) as figure:
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, (column, label) in zip(panels, PANELS.items(), strict=True):
            _panel(axes, rows, column, numbers)
            axes.set_xlabel(label)
        panels[0].set_ylabel(f"change in {primary[2]} against base, {100 * (1 - alpha):g} % interval")
        named = [
            Line2D(
                [],
                [],
                linestyle="",
                marker=f"${numbers[row['variant']]}$",
                color=_colour(row),
                markersize=5 + 2 * len(numbers[row["variant"]]),
                label=row["variant"],
            )
            for row in rows
        ]
        figure.legend(handles=named, loc="outside upper left", ncols=min(6, len(named)))


def _panel(axes: Axes, rows: list[dict], column: str, numbers: dict[str, str]) -> None:
    axes.axhline(0, color=INK, linewidth=0.9, zorder=1)
    front = sorted((row for row in rows if row["front"]), key=lambda row: (row[column], row["delta"]))
    # Of a front in three costs, those that no other is cheaper in this one and as good.
    best, shown = float("-inf"), []
    for row in front:
        if row["delta"] > best:
            best = row["delta"]
            shown.append(row)
    places = [row[column] for row in shown], [row["delta"] for row in shown]
    axes.step(*places, where="post", color=FAINT, linewidth=1.6, zorder=1.5)
    for place, row in enumerate(sorted(rows, key=lambda row: row["delta"])):
        colour = _colour(row)
        if row["ci_low"] is not None:
            axes.plot([row[column]] * 2, [row["ci_low"], row["ci_high"]], color=colour, linewidth=1.2, alpha=0.5)
        axes.plot(row[column], row["delta"], VERDICT_MARKERS.get(row["verdict"], "o"), color=colour, markersize=6)
        axes.annotate(
            numbers[row["variant"]],
            (row[column], row["delta"]),
            # Right and left in turn, since systems of one kind cost about the same.
            xytext=(6, 3) if place % 2 else (-6, 3),
            ha="left" if place % 2 else "right",
            textcoords="offset points",
            color=colour,
            fontsize=8,
        )
        if row["standing"] == CHOSEN:
            axes.plot(row[column], row["delta"], "o", color=INK, markersize=14, markerfacecolor="none")
    axes.set_xscale("symlog", linthresh=1.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlim(left=-0.15)


def _colour(row: dict) -> str:
    return INK if row["verdict"] == Verdict.BASE else VERDICT_COLOURS[row["verdict"]]
