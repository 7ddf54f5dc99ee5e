"""Cost plot: what each variant took to train and takes to serve."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from backfire.charts.style import INK, drawing, note, variant_styles
from backfire.explaining.cost import Latency, cost_means

COLUMNS = 3
ROW = 0.3
PANELS = {
    "Training time": "training_time",
    "Peak memory in training": "training_peak_memory",
    "GPU memory in training": "training_peak_gpu_memory",
    "Trainable parameters": "trainable_parameters",
    "Encoding rate": "encoding_rate",
    "Peak memory in encoding": "encoding_peak_memory",
    "GPU memory in encoding": "encoding_peak_gpu_memory",
    "Latency of one query, median and p90": Latency(50).quantity,
    "Searching for a query, mean": "search_time",
    "Reranking a query, mean": "reranking_time",
}
P90, UNMERGED = Latency(90).quantity, Latency(50, unmerged=True).quantity


def plot_cost(table: str | Path, variants: list[str], svg: str | Path, png: str | Path) -> None:
    """Draw the table `cost` as bars, a panel per quantity, the mean of a variant's seeds.

    A quantity that no variant has gets no panel; one that a variant lacks is said to be missing, never drawn
    as zero. `variants` are all of the study, in its order, which sets the order of the bars and their
    colours.
    """
    means, units = cost_means(table)
    panels = [title for title, quantity in PANELS.items() if quantity in units]
    if not panels:
        with drawing(svg, png, height=1.2) as figure:
            note(figure, "No cost was recorded in this study.")
        return
    shown = [name for name in variants if any(name == variant for variant, _ in means)]
    styles = variant_styles(variants)
    rows = -(-len(panels) // COLUMNS)
    with drawing(svg, png, height=0.3 + rows * (0.85 + ROW * len(shown))) as figure:
        grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
        for axes, title in zip(grid.flat, panels, strict=False):
            quantity = PANELS[title]
            values = {name: means[name, quantity] for name in shown if (name, quantity) in means}
            factor, unit = scale(max(values.values()), units[quantity])
            ends = _marks(axes, means, shown) if quantity == Latency(50).quantity else {}
            _bars(axes, {name: value * factor for name, value in values.items()}, ends, shown, styles)
            axes.set_title(title)
            axes.set_xlabel(unit)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_axis_off()


def scale(largest: float, unit: str) -> tuple[float, str]:
    """The factor and the name of the unit in which values up to `largest` read well."""
    if unit == "s" and largest >= 2 * 3600:
        return 1 / 3600, "hours"
    if unit == "s":
        return (1 / 60, "minutes") if largest >= 300 else (1.0, "seconds")
    if unit == "MiB" and largest >= 4096:
        return 1 / 1024, "GiB"
    if unit == "count" and largest >= 1e6:
        return 1e-6, "millions"
    return 1.0, "" if unit == "count" else unit


def _bars(
    axes: Axes,
    values: dict[str, float],
    ends: dict[str, tuple[float, str]],
    variants: list[str],
    styles: dict[str, dict],
) -> None:
    """Draw bars and write each value at the end of its bar, or of what is marked beyond it (`ends`: where, what)."""
    near = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 7.5}
    for place, name in enumerate(variants):
        if name in values:
            axes.barh(place, values[name], height=0.62, color=styles[name]["color"])
            end, more = ends.get(name, (values[name], ""))
            axes.annotate(_short(values[name]) + more, (max(end, values[name]), place), **near)
        else:
            axes.annotate("none", (0, place), **near)
    axes.set_yticks(range(len(variants)), variants)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    axes.set_xlim(0, max([*values.values(), *(end * 1.1 for end, _ in ends.values())]) * 1.25 or 1)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _short(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _marks(axes: Axes, means: dict[tuple[str, str], float], variants: list[str]) -> dict[str, tuple[float, str]]:
    """Mark p90, and for LoRA the median before merging; gives the last mark and p90 of each variant."""
    styles = {
        P90: {"marker": "|", "markersize": 7, "markeredgewidth": 1.6, "label": "p90 (90 % are faster)"},
        UNMERGED: {"marker": "o", "markersize": 4, "markerfacecolor": "white", "label": "median, adapter not merged"},
    }
    handles, ends = [], {}
    for quantity, style in styles.items():
        found = {name: means[name, quantity] for name in variants if (name, quantity) in means}
        if found:
            style |= {"linestyle": "", "color": INK}
            axes.plot(list(found.values()), [variants.index(name) for name in found], **style)
            handles.append(Line2D([], [], **style))
        for name, value in found.items():
            end, more = ends.get(name, (0.0, ""))
            ends[name] = max(end, value), f" / {_short(value)}" if quantity == P90 else more
    if handles:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), "ncols": 2}
        axes.legend(handles=handles, fontsize=7, handlelength=1, **below)
    return ends
