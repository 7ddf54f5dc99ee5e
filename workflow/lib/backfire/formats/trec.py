"""TREC run files: `query_id Q0 doc_id rank score tag`, ranked by score descending, then doc id ascending.

Columns are separated by white space, which ids may hold all the same: there it is percent-encoded as in a URL (a space
is `%20`), and a percent sign before two hexadecimal digits is `%25`. Other ids are written as they are.
"""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.atomic import replacing

_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_TO_ESCAPE = re.compile(r"\s|%(?=[0-9A-Fa-f]{2})")

Ranking = list[tuple[str, float]]
"""Documents of one query, best first: (doc_id, score)."""


def write_run(path: str | Path, rankings: Iterable[tuple[str, Ranking]], tag: str) -> None:
    """Write (query_id, ranking) pairs; ranks count from 1. Scores keep every digit of a float32.

    Raises `BackfireError` for an empty id, which the format cannot carry.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for query_id, ranking in rankings:
            for rank, (doc_id, score) in enumerate(ranking, start=1):
                if not query_id or not doc_id:
                    raise BackfireError(
                        f"query id {query_id!r} or doc id {doc_id!r} is empty.",
                        "a TREC run separates its columns by white space; use ids with at least one character.",
                    )
                stream.write(f"{escaped(query_id)} Q0 {escaped(doc_id)} {rank} {np.float32(score)!s} {tag}\n")


def escaped(identifier: str) -> str:
    """An id as a column of a run: without white space."""
    return _TO_ESCAPE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), identifier)


def unescaped(column: str) -> str:
    """The id that `escaped` made a column of; what is no UTF-8 was not made by it and stays as it is."""
    return _ESCAPED.sub(_decoded, column) if "%" in column else column


def read_run(path: str | Path) -> dict[str, Ranking]:
    """Read a whole run as {query_id: ranking}, in the order of the file. Raises as `iterate_run` does."""
    return dict(iterate_run(path))


def iterate_run(path: str | Path) -> Iterator[tuple[str, Ranking]]:
    """Read a run query by query, as (query_id, ranking), in the order of the file.

    Raises `BackfireError` when the file is missing, for a line without six columns or whose score is no finite
    number, and when the lines of a query do not stand together.
    """
    path = Path(path)
    if not path.is_file():
        raise BackfireError(f"{path}: there is no such run.", "it is an output of the rule rank; run that first.")
    query_id, ranking, done = None, [], set()
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            current, doc_id, score = _columns(path, number, line)
            if current != query_id:
                if query_id is not None:
                    yield query_id, ranking
                    done.add(query_id)
                if current in done:
                    raise BackfireError(
                        f"{path}:{number}: query '{current}' appears again after other queries.",
                        "the lines of a query stand together in a run; delete the file and run again.",
                    )
                query_id, ranking = current, []
            ranking.append((doc_id, score))
    if query_id is not None:
        yield query_id, ranking


def _columns(path: str | Path, number: int, line: str) -> tuple[str, str, float]:
    try:
        query_id, _, doc_id, _, score, _ = line.split()
        value = float(score)
        if not math.isfinite(value):
            raise ValueError(score)
    except ValueError as error:
        raise BackfireError(
            f"{path}:{number}: not a line of a TREC run: {line.rstrip()!r}.",
            "the file was cut short or edited; delete it and run again.",
        ) from error
    return unescaped(query_id), unescaped(doc_id), value


def _decoded(found: re.Match) -> str:
    try:
        return bytes.fromhex(found[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return found[0]
