"""Training curves: what the loss, the gradients, the weights and the development measure did, step by step."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from backfire.charts.style import BASE_COLOUR, INK, drawing, note, variant_styles
from backfire.explaining.layers import by_layer
from backfire.formats.tables import read_rows
from backfire.training.watch import BOUNDARY, HARM

DEV, TERM = "dev_", "loss_"
TITLES = {
    "loss": "Training loss",
    "active_triplets": "Share of active triplets",
    "held_out_loss": "Loss on held-out examples",
    "held_out_accuracy": "Accuracy on held-out examples",
    "grad_norm": "Gradient norm",
    "weight_drift": "Weight drift from the start",
    "learning_rate": "Learning rate",
}
# What describes the watched queries and their pool at each look.
DESCRIBED = {
    "positive_p50": "Similarity of the answer, median",
    "negative_p50": "Similarity of the best wrong passage, median",
    "pool_participation_ratio": "Participation ratio of the watched pool",
}
# What is drawn by layer: a column of the table `layers`, with its title; the drift where training ended, of the others
# the median over the looks.
STACKED = {
    "drift": "Weight drift, by layer",
    "grad_norm": "Gradient norm, by layer",
    "update_ratio": "Changed by a step, by layer",
}
HELD_OUT = ("held_out_loss", "held_out_accuracy")
COLUMNS = 3
# From this ratio of one variant's median loss to another's, losses share an axis only in their orders of magnitude.
APART = 20
# Longer curves are shown as a running mean over this share of their length, and thinned to this many points.
SMOOTHING = 1 / 40
POINTS = 400
LINE = 1.1


def plot_dynamics(
    tables: list[str | Path],
    runs: Sequence[Sequence],
    variants: list[str],
    svg: str | Path,
    png: str | Path,
    layers: Sequence[str | Path] = (),
    tested: str | None = None,
) -> None:
    """Draw the tables `dynamics` of `runs`, a (variant, seed) for each table; a note when there are none.

    `layers`: their tables of that name, of which the last panels are drawn. `tested`: the measure that the early
    warning is about, on whose panel it is marked. `variants` are all of the study, in its order, which sets the
    colours. Each seed is a thin line.
    """
    if not tables:
        with drawing(svg, png, height=1.2) as figure:
            note(figure, "No variant of this study was trained, so there are no training curves.")
        return
    curves = [read_rows(table, "dynamics") for table in tables]
    columns = {name for curve in curves for name in curve.column_names}
    watched = [
        *(name for name in HELD_OUT if name in columns),
        *sorted(each for each in columns if each.startswith(DEV)),
    ]
    terms = sorted(each for each in columns if each.startswith(TERM))
    described = [each for each in DESCRIBED if each in columns]
    panels = ["loss", *terms, "active_triplets", *watched, *described, "grad_norm", "weight_drift", "learning_rate"]
    if not any(len(_values(curve, "active_triplets")[0]) for curve in curves):
        # No objective of these has a margin.
        panels.remove("active_triplets")
    styles = variant_styles(variants)
    by_layer = [read_rows(table, "layers").to_pylist() for table in layers]
    stacked = STACKED if any(by_layer) else {}
    rows = -(-(len(panels) + len(stacked)) // COLUMNS)
    with drawing(svg, png, height=0.6 + 2.3 * rows) as figure:
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            for curve, (variant, _) in zip(curves, runs, strict=True):
                if panel in curve.column_names:
                    looks = panel in watched or panel in described
                    _line(axes, *_values(curve, panel), looks, styles[variant])
                    if panel == f"{DEV}{tested}":
                        _alarm(axes, curve, panel)
            _finish(axes, panel, panel == "loss" and _apart(curves))
        rest = list(grid.flat)[len(panels) :]
        for axes, column in zip(rest, stacked, strict=False):
            for rows_of, (variant, _) in zip(by_layer, runs, strict=True):
                _stack(axes, rows_of, column, styles[variant])
            _finish_stack(axes, column, by_layer)
        for axes in rest[len(stacked) :]:
            axes.set_axis_off()
        drawn = [name for name in variants if any(name == variant for variant, _ in runs)]
        handles = [Line2D([], [], linewidth=2, label=name, **styles[name]) for name in drawn]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 6), handlelength=1.8)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of each value and its neighbours within `window` values, fewer at the ends; as long as `values`."""
    kernel = np.ones(min(window, len(values)))
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones(len(values)), kernel, mode="same")


def _values(curve, column: str) -> tuple[np.ndarray, np.ndarray]:
    steps = curve["step"].to_numpy().astype(float)
    values = curve[column].to_numpy().astype(float)
    present = np.isfinite(values)
    return steps[present], values[present]


def _line(axes: Axes, steps: np.ndarray, values: np.ndarray, evaluated: bool, style: dict) -> None:
    if evaluated:
        axes.plot(steps, values, linewidth=LINE, marker="o", markersize=2.4, **style)
        if len(steps) and steps[0] == 0:
            axes.axhline(values[0], color=BASE_COLOUR, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        return
    window = max(1, int(len(values) * SMOOTHING))
    if window > 1:
        values = running_mean(values, window)
    thin = max(1, len(values) // POINTS)
    axes.plot(steps[::thin], values[::thin], linewidth=LINE, **style)


def _stack(axes: Axes, rows: list[dict], column: str, style: dict) -> None:
    found = {each["place"]: each[column] for each in by_layer(rows).values() if each[column] is not None}
    places = sorted(found)
    axes.plot(places, [found[each] for each in places], linewidth=LINE, marker="o", markersize=2.4, **style)


def _finish_stack(axes: Axes, column: str, tables: Sequence[list[dict]]) -> None:
    names = {row["place"]: row["layer"] for rows in tables for row in rows}
    # Of a deep network every few layers have their names.
    shown = sorted(names)[:: max(1, len(names) // 8)]
    axes.set_xticks(shown, [names[each].removeprefix("layer ").replace("embeddings", "emb.") for each in shown])
    axes.set_title(STACKED[column])
    axes.set_xlabel("layer")
    if column == "grad_norm":
        axes.set_ylim(bottom=0)
        return
    # Full training and adapters differ by orders of magnitude.
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _alarm(axes: Axes, curve, panel: str) -> None:
    """Mark the look of the early warning, where one was given."""
    steps, values = _values(curve, panel)
    boundaries = dict(zip(*_values(curve, BOUNDARY), strict=True)) if BOUNDARY in curve.column_names else {}
    statistics = dict(zip(*_values(curve, HARM), strict=True)) if boundaries else {}
    crossed = [step for step, boundary in boundaries.items() if statistics[step] > boundary]
    if crossed:
        value = dict(zip(steps, values, strict=True))[crossed[0]]
        axes.plot([crossed[0]], [value], marker="x", markersize=7, markeredgewidth=1.6, color=INK, zorder=5)


def _apart(curves: list) -> bool:
    """Whether objectives of the curves give losses of other sizes, as a softmax and a margin do."""
    medians = [float(np.median(values)) for curve in curves if len(values := _values(curve, "loss")[1])]
    return min(medians, default=0) > 0 and max(medians) / min(medians) >= APART


def _finish(axes: Axes, panel: str, orders: bool) -> None:
    term = f"Term of the loss: {panel.removeprefix(TERM)}" if panel.startswith(TERM) else None
    axes.set_title(
        TITLES.get(panel) or DESCRIBED.get(panel) or term or f"{panel.removeprefix(DEV)} on development queries"
    )
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    if orders:
        axes.set_yscale("log")
    elif term or panel in ("loss", "active_triplets", "weight_drift", "learning_rate", "grad_norm"):
        axes.set_ylim(bottom=0)
    if panel in ("active_triplets", "weight_drift"):
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    if panel == "learning_rate":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
