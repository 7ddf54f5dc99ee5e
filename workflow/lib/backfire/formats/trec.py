"""TREC run files: `query_id Q0 doc_id rank score tag`, ranked by score descending, then doc id ascending.

Columns are separated by white space, which ids may hold all the same: there it is percent-encoded as in a URL (a space
is `%20`), and a percent sign before two hexadecimal digits is `%25`. Other ids are written as they are.

The format has no place for a checksum, so one lies beside the run, as `sha256sum` writes and checks it. A run without
it, as one that was copied elsewhere or comes from another tool, is read all the same.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.atomic import replacing
from backfire.formats.sums import file_digest
from backfire.jobs.faults import reading

_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_TO_ESCAPE = re.compile(r"\s|%(?=[0-9A-Fa-f]{2})")

Ranking = list[tuple[str, float]]
"""Documents of one query, best first: (doc_id, score)."""


def write_run(path: str | Path, rankings: Iterable[tuple[str, Ranking]], tag: str) -> None:
    """Write (query_id, ranking) pairs; ranks count from 1. Scores keep every digit of a float32.

    Raises `BackfireError` for an id that the format cannot carry: an empty one, or half of a surrogate pair.
    """
    path, digest = Path(path), hashlib.sha256()
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            for query_id, ranking in rankings:
                lines = _lines(query_id, ranking, tag)
                stream.write(lines)
                digest.update(lines)
        # The old one goes first: a run that is without its checksum for a moment is better than one with another's.
        checksum_file(path).unlink(missing_ok=True)
    with replacing(checksum_file(path)) as temporary:
        temporary.write_text(f"{digest.hexdigest()}  {path.name}\n", encoding="utf-8")


def checksum_file(path: str | Path) -> Path:
    """Where the checksum of a run lies."""
    return Path(f"{path}.sha256")


def _lines(query_id: str, ranking: Ranking, tag: str) -> bytes:
    try:
        if not query_id or not all(doc_id for doc_id, _ in ranking):
            raise ValueError("an id is empty")
        query = escaped(query_id)
        return "".join(
            f"{query} Q0 {escaped(doc_id)} {rank} {np.float32(score)!s} {tag}\n"
            for rank, (doc_id, score) in enumerate(ranking, start=1)
        ).encode()
    except ValueError as error:
        reason = "holds half of a surrogate pair" if isinstance(error, UnicodeError) else "is empty"
        raise BackfireError(
            f"query id {query_id!r} or an id of a passage ranked for it {reason}.",
            "a TREC run is UTF-8 text with columns between white space; use ids of at least one whole character.",
        ) from error


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

    Raises `BackfireError` when the file is missing or is not what its checksum beside it says, for a line without six
    columns, whose rank is not its place or whose score is no finite number, and when the lines of a query do not stand
    together.
    """
    path = Path(path)
    if not path.is_file():
        raise BackfireError(f"{path}: there is no such run.", "it is an output of the rule rank; run that first.")
    _check(path)
    query_id, ranking, done = None, [], set()
    with reading(path), path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            current, doc_id, rank, score = _columns(path, number, line)
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
            if rank != len(ranking):
                raise BackfireError(
                    f"{path}:{number}: rank {rank} stands in place {len(ranking)} of query '{current}'.",
                    "ranks count from 1 without a gap; lines are lost or out of order: delete the file and run again.",
                )
    if query_id is not None:
        yield query_id, ranking


def _check(path: Path) -> None:
    try:
        with reading(checksum_file(path)):
            expected = checksum_file(path).read_bytes()[:64].decode("ascii", "replace")
    except FileNotFoundError:
        return
    if file_digest(path) != expected:
        raise BackfireError(
            f"{path}: its bytes are not those it was written with ({checksum_file(path).name} beside it says so).",
            "it was cut short, damaged or edited; delete it and run again. To use it as it is, delete the .sha256.",
        )


def _columns(path: str | Path, number: int, line: bytes) -> tuple[str, str, int, float]:
    try:
        query_id, _, doc_id, rank, score, _ = line.decode().split()
        place, value = int(rank), float(score)
        if not math.isfinite(value):
            raise ValueError(score)
    except ValueError as error:
        raise BackfireError(
            f"{path}:{number}: not a line of a TREC run: {line.rstrip()!r}.",
            "the file was cut short or edited; delete it and run again.",
        ) from error
    return unescaped(query_id), unescaped(doc_id), place, value


def _decoded(found: re.Match) -> str:
    try:
        return bytes.fromhex(found[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return found[0]
