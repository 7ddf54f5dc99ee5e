"""What all figures share: size, type, one colour per variant, and files with the same bytes every time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backfire.formats.atomic import replacing

WIDTH = 9.6
"""Inches; the report shows figures at about 100 pixels an inch."""

BASE_COLOUR = "#4d4d4d"
# Okabe & Ito (2008), "Color Universal Design": distinguishable with any common colour vision. Green and vermilion
# come last, since they also stand for verdicts.
PALETTE = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#009e73", "#d55e00")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))
VERDICT_COLOURS = {"HELPS": "#009e73", "HARMS": "#d55e00", "EQUIVALENT": "#0072b2", "INCONCLUSIVE": "#7a7a7a"}
VERDICT_MARKERS = {"HELPS": "^", "HARMS": "v", "EQUIVALENT": "s", "INCONCLUSIVE": "o"}
INK, FAINT = "#222222", "#b0b0b0"

STYLE = {
    "svg.hashsalt": "backfire",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
}


@contextmanager
def drawing(svg: str | Path, png: str | Path, height: float, width: float = WIDTH) -> Iterator[Figure]:
    """Yield an empty figure of that size in inches; write it to both files when the body succeeds."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.06)
        yield figure
        with replacing(svg) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None}, dpi=200)
        with replacing(png) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None}, dpi=200)


def variant_styles(variants: list[str]) -> dict[str, dict]:
    """Line style of each variant, by its place in `variants`, the study's order; the same in every figure.

    Colours repeat after the palette's six, with other dashes.
    """
    styles = {"base": {"color": BASE_COLOUR, "linestyle": "-"}}
    for place, name in enumerate(name for name in variants if name != "base"):
        turn, colour = divmod(place, len(PALETTE))
        styles[name] = {"color": PALETTE[colour], "linestyle": DASHES[turn % len(DASHES)]}
    return styles


def note(figure: Figure, text: str) -> Axes:
    """Say in an otherwise empty figure why there is nothing to see."""
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, transform=axes.transAxes)
    return axes


def difference(row: dict) -> str:
    """A difference, `delta`, with its interval where it has one (`ci_low`, `ci_high`), as it stands beside a mark."""
    interval = ""
    if row["ci_low"] is not None and row["ci_high"] is not None:
        interval = f"  [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]"
    return f"{row['delta']:+.4f}{interval}".replace("-", "\N{MINUS SIGN}")
