"""How many lines files hold, about, by their bytes, and how many examples a set of triples has.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from backfire.datasets.sources import pairs_files
from backfire.errors import BackfireError
from backfire.study.triples import Listed, Triples

# gzip and Parquet pack text to a third.
PACKED = 3
# Bytes of a row of triples that cannot be looked at, on the short side.
TRIPLE_ROW = 750


def examples(triples: Triples, queries: int) -> int:
    """Examples of a set: its size, about what its file gives, or one for each of the training `queries`."""
    if triples.size is not None:
        return triples.size
    return _of_file(triples) if isinstance(triples, Listed) else queries


def _of_file(triples: Listed) -> int:
    """Examples that a file gives, about: by the length of its first lines, and the columns of negatives it has."""
    total = estimated_lines(lambda: pairs_files(triples.file), 1) or 0
    lines = _first_lines(Path(triples.file))
    if not lines:
        return max(1, total // TRIPLE_ROW)
    rows = total * len(lines) // sum(map(len, lines))
    # A header, or the keys of a first row; a list of negatives is taken for one.
    negatives = len(re.findall(rb"\bneg(?:ative)?(?:_\d+)?\b", lines[0], re.IGNORECASE))
    return max(1, rows * max(1, negatives // triples.negatives_per_query))


def _first_lines(file: Path) -> list[bytes]:
    """The first whole lines of a text file, packed or not; none of other files."""
    opened = {".gz": gzip.open, ".jsonl": open, ".json": open, ".tsv": open, ".csv": open}.get(file.suffix)
    try:
        if opened is None or not file.is_file():
            return []
        with opened(file, "rb") as stream:
            return stream.read(1 << 16).splitlines(keepends=True)
    except (OSError, EOFError, zlib.error):
        # It is told by the job that reads the file.
        return []


def estimated_lines(find: Callable[[], list[str]], length: int) -> int | None:
    """Lines of `length` bytes in the files that `find` gives; None where it finds that they are not sound."""
    try:
        sizes = [(Path(file).stat().st_size, Path(file).suffix in (".gz", ".parquet")) for file in find()]
    except BackfireError:
        # It is told where the files are asked for as inputs.
        return None
    return sum(size * (PACKED if packed else 1) for size, packed in sizes) // length
