"""Effect plot: how far each variant is from base, with the interval that says how sure that is."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from backfire.charts.style import INK, VERDICT_COLOURS, VERDICT_MARKERS, difference, drawing, note
from backfire.formats.tables import read_rows

COLUMNS = 3
ROW = 0.34
BAND = "#e3edf5"
THICK = 5.0


def plot_effects(
    comparison: str | Path,
    primary: Sequence[str],
    alpha: float,
    variants: list[str],
    svg: str | Path,
    png: str | Path,
) -> None:
    """Draw a forest plot of the differences from base in the table `comparison`.

    `primary` is (collection, split, measure): its panel is the large one, and the measure's other splits
    follow in small, on the same scale. The band is the margin within which a difference does not matter; the
    intervals have confidence 1 - `alpha`, and on text that was not trained on a thick one has 1 - 2 `alpha`, as goes
    with the one-sided test against the dashed line. `variants` is the order of the rows.
    """
    collection, split, measure = primary
    rows = [
        row
        for row in read_rows(comparison, "comparison").to_pylist()
        if row["measure"] == measure and row["variant"] != "base" and row["reference"] == "base"
    ]
    panels: dict[tuple[str, str], dict[str, dict]] = {(collection, split): {}}
    for row in rows:
        panels.setdefault((row["collection"], row["split"]), {})[row["variant"]] = row
    shown = [name for name in variants if any(name in panel for panel in panels.values())]
    if not shown:
        with drawing(svg, png, height=1.2) as figure:
            note(figure, "This study holds no variant besides base, so there is nothing to compare.")
        return
    others = list(panels)[1:]
    below = -(-len(others) // COLUMNS)
    large, small = 0.95 + 1.25 * ROW * len(shown), 1.0 + ROW * len(shown)
    with drawing(svg, png, height=0.3 + large + below * small) as figure:
        grid = figure.add_gridspec(1 + below, COLUMNS, height_ratios=[large, *[small] * below])
        main = figure.add_subplot(grid[0, :])
        _forest(main, panels[collection, split], shown, f"{collection}/{split} (primary)")
        main.set_xlabel(f"change in {measure} against base, with {100 * (1 - alpha):g} % interval")
        _numbers(main, panels[collection, split], shown)
        for place, panel in enumerate(others):
            axes = figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS], sharex=main)
            _forest(axes, panels[panel], shown, f"{'/'.join(panel)}{_takes(panels[panel])}")
            if place % COLUMNS:
                axes.tick_params(axis="y", labelleft=False)
        found = dict.fromkeys(row["verdict"] for row in rows)
        handles = [
            Line2D([], [], color=colour, marker=VERDICT_MARKERS[verdict], markersize=6, label=verdict)
            for verdict, colour in VERDICT_COLOURS.items()
            if verdict in found
        ]
        margin = f"within the margin of {rows[0]['margin']:g}"
        handles.append(Patch(color=BAND, label=margin))
        if any(row["retention"] for row in rows):
            one_sided = f"one-sided, {100 * (1 - 2 * alpha):g} %"
            handles.append(Line2D([], [], color=INK, linewidth=THICK, solid_capstyle="butt", label=one_sided))
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


def _takes(panel: dict[str, dict]) -> str:
    """The queries of a panel of text that was not trained on, where they are fewer than `keeps` takes."""
    few = [row for row in panel.values() if row["retention"] and row["queries"] < row["fewest_queries"]]
    return f"\n{few[0]['queries']:,} queries; keeps takes {few[0]['fewest_queries']:,}" if few else ""


def _forest(axes: Axes, panel: dict[str, dict], variants: list[str], title: str) -> None:
    for row in panel.values():
        # One measure, so one margin.
        axes.axvspan(-row["margin"], row["margin"], color=BAND, zorder=0, linewidth=0)
        break
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for place, name in enumerate(variants):
        row = panel.get(name)
        if row is None:
            axes.text(0, place, "not measured", ha="center", va="center", fontsize=7.5)
            continue
        colour = VERDICT_COLOURS.get(row["verdict"], INK)
        if row["ci_low"] is not None and row["ci_high"] is not None:
            axes.plot(
                [row["ci_low"], row["ci_high"]], [place, place], color=colour, linewidth=2, solid_capstyle="round"
            )
        if row["retention"] and row["one_sided_low"] is not None:
            ends = [row["one_sided_low"], row["one_sided_high"]]
            axes.plot(ends, [place, place], color=colour, linewidth=THICK, solid_capstyle="butt", alpha=0.55)
            axes.axvline(-row["margin"], color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
        axes.plot(row["delta"], place, VERDICT_MARKERS.get(row["verdict"], "o"), color=colour, markersize=6.5)
    axes.set_yticks(range(len(variants)), variants)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title(title)


def _numbers(axes: Axes, panel: dict[str, dict], variants: list[str]) -> None:
    """Write each difference and interval at the right edge."""
    for place, name in enumerate(variants):
        row = panel.get(name)
        if row is not None:
            axes.text(
                1.01,
                place,
                difference(row),
                transform=axes.get_yaxis_transform(),
                va="center",
                color=VERDICT_COLOURS.get(row["verdict"], INK),
            )
