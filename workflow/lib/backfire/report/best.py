"""Which variant stands for the best of several, and by what it was chosen: a sentence for each choice."""

from collections.abc import Iterable, Mapping
from pathlib import Path

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
