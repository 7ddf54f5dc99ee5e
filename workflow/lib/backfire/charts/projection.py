"""Maps of the embedding space: one panel per variant, all that grew out of one model on the map fitted on that."""

from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from backfire.charts.style import INK, WIDTH, drawing, variant_styles
from backfire.formats.tables import read_rows

COLUMNS = 3
COLOUR_MAP = "viridis"


def plot_projection(
    table: str | Path, variants: list[str], maps: dict[str, str], svg: str | Path, png: str | Path
) -> None:
    """Draw the table `projection` as small multiples, with the same axes for all on one map.

    A passage keeps in every panel the colour that its place on the base's map gave it, so that neighbourhoods
    that stay together keep one colour and those that mix do not; a thin line leads to it from its place in the model
    that the map was fitted on. Queries are diamonds. `variants` are all of the study, in its order, which sets the
    colours of the frames; `maps` names for each the variant that its map was fitted on.
    """
    passages, queries = _places(table, "passage"), _places(table, "query")
    base = passages["base"]
    limits = {fitted: _limits(fitted, maps, passages, queries) for fitted in set(maps.values())}
    shown = [name for name in variants if name in passages]
    styles = variant_styles(variants)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    side = WIDTH / COLUMNS
    with drawing(svg, png, height=0.5 + side * rows, width=max(columns, 2) * side) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, name in zip(grid.flat, shown, strict=False):
            fitted = maps[name]
            if name != fitted:
                lines = np.stack([passages[fitted], passages[name]], axis=1)
                axes.add_collection(
                    LineCollection(lines, colors="#808080", linewidths=0.4, alpha=0.55, rasterized=True)
                )
            axes.scatter(
                *passages[name].T, c=base[:, 0], cmap=COLOUR_MAP, s=5, linewidths=0, alpha=0.85, rasterized=True
            )
            if name in queries:
                axes.scatter(
                    *queries[name].T, marker="D", s=10, c="white", edgecolors=INK, linewidths=0.6, rasterized=True
                )
            axes.set_title(f"{name} (the map was fitted here)" if name == fitted else name)
            axes.set(xlim=limits[fitted][:, 0], ylim=limits[fitted][:, 1], xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=styles[name]["color"], linewidth=1.4)
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        figure.legend(handles=_legend(bool(queries), len(shown) > 1), loc="outside upper left", ncols=3)


def _limits(fitted: str, maps: dict[str, str], *places: dict[str, np.ndarray]) -> np.ndarray:
    """The lowest and the highest coordinates (2, 2) of all that is placed on one map, and a little room."""
    on_it = np.concatenate([of[name] for of in places for name in of if maps[name] == fitted])
    low, high = on_it.min(axis=0), on_it.max(axis=0)
    return np.stack([low - 0.03 * (high - low), high + 0.03 * (high - low)])


def _places(table: str | Path, kind: str) -> dict[str, np.ndarray]:
    """Coordinates (ids, 2) of each variant, its ids in one order for all variants."""
    places: dict[str, dict[str, tuple[float, float]]] = {}
    for row in read_rows(table, "projection").to_pylist():
        if row["kind"] == kind:
            places.setdefault(row["variant"], {})[row["id"]] = (row["x"], row["y"])
    return {name: np.array([of[identifier] for identifier in sorted(of)]) for name, of in places.items()}


def _legend(queries: bool, drift: bool) -> list[Line2D]:
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color="#31688e",
            markersize=4,
            label="passage, coloured by its place in base",
        )
    ]
    if queries:
        handles.append(
            Line2D([], [], linestyle="", marker="D", color="white", markeredgecolor=INK, markersize=4, label="query")
        )
    if drift:
        handles.append(
            Line2D([], [], color="#808080", linewidth=0.7, label="drift from its place where the map was fitted")
        )
    return handles
