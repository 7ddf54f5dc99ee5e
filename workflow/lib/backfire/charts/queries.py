"""Every query of the primary split: its value under each variant against its value under base."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from backfire.charts.style import INK, VERDICT_COLOURS, WIDTH, drawing, note
from backfire.explaining.queries.paired import BASE, read_paired

FEWEST, COLUMNS = 3, 4
# Areas of marks in square points: the least that can be seen, that of the most queries which moved alike, and the most
# that a mark on the diagonal may take.
SMALLEST, MOVED, LARGEST = 4.0, 120.0, 300.0
ABOVE, ON, BELOW = VERDICT_COLOURS["HELPS"], VERDICT_COLOURS["INCONCLUSIVE"], VERDICT_COLOURS["HARMS"]


def plot_queries(
    measures: str | Path, models: Sequence[Sequence], primary: Sequence[str], svg: str | Path, png: str | Path
) -> None:
    """Draw a panel per trained variant from the table `measures` at `primary` (collection, split, measure).

    `models` are (variant, first seed) of base and each trained variant, in the order of the panels. A variant's value
    is the mean of its seeds. Queries with the same two values are one mark with an area in proportion to their
    number, within what can be seen and what leaves room; how many lie on the diagonal is written. Raises
    `BackfireError` as `read_paired` does.
    """
    paired = read_paired(measures, models, primary)
    shown = [variant for variant, _ in models if variant != BASE]
    if not shown:
        with drawing(svg, png, height=1.2) as figure:
            note(figure, "This study holds no variant besides base, so there is nothing to compare.")
        return
    points = {name: np.unique(np.stack([paired.base, paired.mean(name)]), axis=1, return_counts=True) for name in shown}
    most = max((int(counts[places[0] != places[1]].max(initial=0)) for places, counts in points.values()))
    everything = np.concatenate([places.ravel() for places, _ in points.values()])
    low, high = min(0.0, everything.min()), max(1.0, everything.max())
    margin = 0.08 * (high - low)
    columns = min(COLUMNS, max(FEWEST, len(shown)))
    rows = -(-len(shown) // columns)
    with drawing(svg, png, height=0.45 + (WIDTH / columns + 0.35) * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, name in zip(grid.flat, shown, strict=False):
            _panel(axes, *points[name], most)
            axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
            axes.set_title(name, pad=17)
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(f"{primary[2]} of base")
        for axes in grid[:, 0]:
            axes.set_ylabel(f"{primary[2]} of the variant")
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        figure.legend(handles=_legend(most), loc="outside upper left", ncols=7)


def _panel(axes: Axes, places: np.ndarray, counts: np.ndarray, most: int) -> None:
    """Marks at `places` (base and variant, marks) that stand for `counts` queries, and how many lie on which side."""
    base, tuned = places
    sides = {ABOVE: ("above", tuned > base), ON: ("same", tuned == base), BELOW: ("below", tuned < base)}
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.9, zorder=1)
    # The large ones first, so that they cover none.
    order = np.argsort(-counts, kind="stable")
    colours = np.select([side for _, side in sides.values()], list(sides), default=ON)
    axes.scatter(
        base[order],
        tuned[order],
        s=marks(counts, most)[order],
        c=colours[order],
        alpha=0.7,
        edgecolors="white",
        linewidths=0.4,
        zorder=2,
        rasterized=len(counts) > 1000,
    )
    for (colour, (word, side)), place in zip(sides.items(), ((0, "left"), (0.5, "center"), (1, "right")), strict=True):
        number = f"{counts[side].sum():,} {word}"
        axes.text(
            place[0], 1.02, number, color=colour, ha=place[1], va="bottom", fontsize=7.5, transform=axes.transAxes
        )


def marks(counts: np.ndarray, most: int) -> np.ndarray:
    """Areas of marks for `counts` queries, in square points, where at most `most` moved alike."""
    return np.clip(MOVED * counts / max(most, 1), SMALLEST, LARGEST)


def _legend(most: int) -> list[Line2D]:
    """The three sides, and marks of 1, 10, 100, ... queries as far as that many moved alike."""
    words = {"better than base": ABOVE, "the same": ON, "worse": BELOW}
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, markersize=5, label=word)
        for word, colour in words.items()
    ]
    for number in [10**power for power in range(len(str(most))) if 10**power <= most]:
        size = float(np.sqrt(marks(np.array([number]), most)[0]))
        label = f"{number:,} {'query' if number == 1 else 'queries'}"
        handles.append(
            Line2D([], [], linestyle="", marker="o", color="none", markeredgecolor=ON, markersize=size, label=label)
        )
    return handles
