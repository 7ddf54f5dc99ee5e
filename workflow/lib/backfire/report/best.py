"""What was chosen on the watched queries while variants were made, and by which values: a sentence for each choice."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from backfire.encoders.folders import MIX
from backfire.formats.atomic import read_json
from backfire.report.numbers import names, plain


def best_told(files: Iterable[str | Path], choosing: Mapping[str, str]) -> list[str]:
    """`files` are what `selection.choose_best` wrote, named by the variant that the choice was made for; `choosing`
    maps every variant that takes the best of several to that one."""
    told = []
    for path in files:
        found = read_json(path)
        takers = [name for name, first in choosing.items() if first == Path(path).stem]
        others = [f"{name} {plain(value)}" for name, value in found["values"].items() if name != found["chosen"]]
        verb = "takes" if len(takers) == 1 else "take"
        value = plain(found["values"][found["chosen"]])
        beside = f" ({', '.join(others)})" if others else ""
        told.append(
            f"{names(takers)} {verb} {found['chosen']} for the best, by {found['measure']} on the watched queries at "
            f"the end of training: {value}{beside}."
        )
    return told


def shares_told(models: Mapping[tuple[str, int], str | Path], mixes: Iterable[str]) -> list[str]:
    """Which share of the second model each of `mixes` took, seed by seed; `models` are the folders of all models."""
    told = []
    for (name, seed), folder in models.items():
        if name in mixes:
            found = read_json(Path(folder) / MIX)
            values = names(f"{plain(value)} with {shares[-1]:g}" for shares, value in found["tried"])
            told.append(
                f"{name}, seed {seed}: {found['shares'][-1]:g} of the second model's weights, by {found['measure']} on "
                f"the watched queries: {values}."
            )
    return told
