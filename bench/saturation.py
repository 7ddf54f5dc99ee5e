"""The paper's effect, made and unmade: the table and the figure of docs/recipes.md, from the results of the study.

    snakemake --cores 8 --configfile studies/saturation.yaml --config seeds=[0,1,2]
    python -m bench.saturation results/saturation docs/figures/saturation

Prints the table in Markdown and draws the change in effectiveness against the change of the participation ratio, both
from the model that each recipe started from.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D

from backfire.charts.style import FAINT, VERDICT_COLOURS, VERDICT_MARKERS, drawing
from backfire.formats.tables import read_rows

PLACES = (("pydocs", "test"), ("pydocs", "unseen"))
MEASURE = "RR@10"
# Recipes in the order of the table: what each one asks for, by the variant that starts from the base.
RECIPES = {
    "full_hard": ("cosine, margin 0.2", "hard"),
    "unmet_cosine": ("cosine, margin 2: never met", "hard"),
    "unmet_unit": ("Euclidean on unit vectors, margin 5: never met", "hard"),
    "met_raw": ("Euclidean on raw vectors, margin 1", "hard"),
    "authors": ("the authors': Euclidean on raw vectors, margin 5", "hard"),
    "authors_bm25": ("the authors'", "BM25"),
}
TAUGHT = "taught"


def main() -> None:
    """Print the table of a finished study and draw its figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("figure", type=Path, help="path of the figure, without its ending")
    options = parser.parse_args()
    compared = {
        (row["variant"], row["reference"], row["collection"], row["split"]): row
        for row in read_rows(options.results / "comparison.parquet", "comparison").to_pylist()
        if row["measure"] == MEASURE
    }
    spaces = _geometry(options.results / "geometry.parquet")
    print(_table(compared, spaces))
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    _draw(compared, spaces, options.figure)


def _geometry(path: Path) -> dict[tuple[str, str], float]:
    """Mean over the seeds of each (variant, quantity)."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in read_rows(path, "geometry").to_pylist():
        if row["value"] is not None:
            values.setdefault((row["variant"], row["quantity"]), []).append(row["value"])
    return {key: sum(of) / len(of) for key, of in values.items()}


def _starts() -> list[tuple[str, str, str]]:
    """(start, variant, recipe) of every row."""
    rows = [("base", TAUGHT, TAUGHT), *(("base", name, name) for name in RECIPES)]
    return rows + [(TAUGHT, f"{TAUGHT}_{'hard' if name == 'full_hard' else name}", name) for name in RECIPES]


def _table(compared: Mapping, spaces: Mapping) -> str:
    means = " | ".join(f"{compared['base', 'base', *place]['mean']:.3f}" for place in PLACES)
    lines = [
        f"| start | objective | negatives | {' | '.join(split for _, split in PLACES)} | PR | length |",
        "|---|---|---|---|---|---:|---:|",
        f"| | the base itself | | {means} | {_space('base', spaces)} |",
    ]
    for start, variant, recipe in _starts():
        objective, negatives = RECIPES.get(recipe, ("contrastive over the batch", "hard"))
        cells = [cell(compared[variant, start, *place]) for place in PLACES]
        lines.append(f"| {start} | {objective} | {negatives} | {' | '.join(cells)} | {_space(variant, spaces)} |")
    return "\n".join(lines)


def cell(row: Mapping[str, Any]) -> str:
    """A difference with its interval and verdict."""
    text = f"{row['delta']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}] {row['verdict'].lower()}"
    return text.replace("-", "\N{MINUS SIGN}")


def _space(variant: str, spaces: Mapping) -> str:
    return f"{spaces[variant, 'participation_ratio']:.0f} | {spaces[variant, 'raw_norm']:.1f}"


def _draw(compared: Mapping, spaces: Mapping, figure: Path) -> None:
    with drawing(figure.with_suffix(".svg"), figure.with_suffix(".png"), height=4.2) as canvas:
        axes = canvas.subplots()
        axes.axhline(0, color=FAINT, linewidth=0.9)
        axes.axvline(0, color=FAINT, linewidth=0.9)
        for start, variant, recipe in _starts():
            row = compared[variant, start, *PLACES[0]]
            x = spaces[variant, "participation_ratio"] - spaces[start, "participation_ratio"]
            colour = VERDICT_COLOURS[row["verdict"]]
            axes.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, linewidth=1.2)
            filled = colour if start == TAUGHT else "white"
            style = {"marker": VERDICT_MARKERS[row["verdict"]], "markersize": 6.5, "markeredgecolor": colour}
            axes.plot([x], [row["delta"]], color=colour, markerfacecolor=filled, **style)
            axes.annotate(recipe, (x, row["delta"]), xytext=(6, 4), textcoords="offset points", fontsize=7)
        axes.set_xlabel("change of the participation ratio of passages (dimensions)")
        axes.set_ylabel(f"change of {MEASURE}, {'/'.join(PLACES[0])}")
        axes.margins(x=0.12)
        marks = [
            Line2D([], [], linestyle="", marker="o", color="#555555", markerfacecolor=fill, label=f"from the {name}")
            for name, fill in (("base", "white"), ("taught base", "#555555"))
        ]
        marks += [
            Line2D([], [], linestyle="", marker=VERDICT_MARKERS[verdict], color=VERDICT_COLOURS[verdict], label=verdict)
            for verdict in dict.fromkeys(
                compared[variant, start, *PLACES[0]]["verdict"] for start, variant, _ in _starts()
            )
        ]
        axes.legend(handles=marks, loc="lower right")


if __name__ == "__main__":
    main()
