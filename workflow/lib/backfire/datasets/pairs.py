"""A file of pairs as a collection: its distinct passages and queries, its judgments, and splits by a hash of the query.

What a row holds, and in which files, is told in `rows`.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from backfire.datasets.duplicates import groups, near_duplicates
from backfire.datasets.rows import Row, file_rows
from backfire.datasets.sources import PARTS, pairs_files
from backfire.datasets.text import normalised
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.tables import write_rows
from backfire.jobs.logs import progress
from backfire.keyed import keyed_share
from backfire.provenance.fingerprints import file_sha256

# Hexadecimal digits of an id.
ID_DIGITS = 16

_logger = logging.getLogger(__name__)


class Pair(NamedTuple):
    """One judgment: a query, a passage, and how relevant it is."""

    query: str
    passage: str
    grade: int


def read_pairs(
    source: str,
    named: Mapping[str, Any] | None,
    held_out: Mapping[str, float],
    corpus: str,
    queries: Mapping[str, str],
    qrels: Mapping[str, str],
    manifest: str,
    hub: str | None = None,
) -> None:
    """Write the tables of the collection that the pairs of `source` make: passages, queries, judgments by split.

    `named` gives columns by part (see `rows`).
    Texts that differ in outer white space only are one. Ids are the first 16 digits of the SHA-256 of the text, so a
    query that is a passage has its id. A saved data set with splits keeps them; else queries with the smallest hashes
    are held out, in the shares of `held_out` (dev, test), near-duplicate queries together, and the rest is for
    training. `queries` and `qrels` hold the paths by split. The manifest tells columns, counts and the digests of the
    files, and what `hub`, that of a data set which was fetched, tells. Raises `BackfireError` for rows without a text,
    columns that cannot be told, and a file without a pair.
    """
    found: dict[tuple[str, str], int] = {}
    given: dict[str, str] = {}
    seen, read, repeated, across = None, 0, 0, Counter()
    with progress(f"reading {source}", None, "pair") as bar:
        for row in file_rows(source, named):
            for pair in _pairs(row):
                read += 1
                place = pair.query, pair.passage
                repeated += place in found
                # Relevant once is relevant, whatever another row draws as a negative.
                found[place] = max(pair.grade, found.get(place, pair.grade))
                if row.split is not None and given.setdefault(pair.query, row.split) != row.split:
                    across[row.split] += 1
            bar.update()
            seen = row.columns
    if not any(grade > 0 for grade in found.values()):
        raise BackfireError(
            f"{source}: there is no pair of a query and a passage that answers it.",
            "a row needs a passage that answers it; a grade of 0 says it does not.",
        )
    split_of = given or split_by_hash(
        {query for query, _ in found}, held_out, f"looking for near-duplicates in {source}"
    )
    write_rows(corpus, "corpus", _texts("doc_id", (passage for _, passage in found)))
    counts = {}
    for split, path in qrels.items():
        judged = {place: grade for place, grade in found.items() if split_of[place[0]] == split}
        asked = _texts("query_id", (query for query, _ in judged))
        write_rows(queries[split], "queries", asked)
        write_rows(
            path,
            "qrels",
            (
                {"query_id": _id(query), "doc_id": _id(passage), "relevance": grade}
                for (query, passage), grade in judged.items()
            ),
        )
        counts[split] = {"queries": len(asked), "judgments": len(judged)}
    if across:
        _logger.warning(
            "%d pairs are of queries that another split holds, too; they count for the first.", across.total()
        )
    write_json(
        manifest,
        {
            "source": source,
            **({"hub": read_json(hub)} if hub else {}),
            "files": {file: file_sha256(file) for file in pairs_files(source)},
            "columns": {part: value for part, value in seen._asdict().items() if value},
            "read": read,
            "repeated": repeated,
            "held out": None if given else dict(held_out),
            "splits": counts,
        },
    )


def first_pairs(source: str, named: Mapping[str, Any] | None, count: int) -> list[Pair]:
    """The first `count` pairs, at most."""
    found = (pair for row in file_rows(source, named) for pair in _pairs(row))
    return list(islice(found, count))


def split_by_hash(queries: Iterable[str], held_out: Mapping[str, float], label: str | None = None) -> dict[str, str]:
    """The split of each query: a group of near-duplicates (see `duplicates`) goes where its smallest hash falls.

    The order of the queries does not matter, and neither does that of other groups.
    """
    texts = sorted(set(queries))
    with progress(label, len(texts), "query") as bar:
        group = groups(len(texts), near_duplicates(texts, done=bar.update))
    places: dict[int, float] = {}
    for text, root in zip(texts, group, strict=True):
        places[root] = min(keyed_share("pairs", normalised(text)), places.get(root, 1.0))
    return {text: _split_at(places[root], held_out) for text, root in zip(texts, group, strict=True)}


def _split_at(place: float, held_out: Mapping[str, float]) -> str:
    for split, share in held_out.items():
        if place < share:
            return split
        place -= share
    return PARTS[0]


def _pairs(row: Row) -> Iterator[Pair]:
    yield from (Pair(row.query, passage, row.grade) for passage in row.passages)
    yield from (Pair(row.query, passage, 0) for passage in row.negatives if passage not in row.passages)


def _texts(kind: str, texts: Iterable[str]) -> list[dict[str, str]]:
    """Rows of ids and texts, each text once, in the order in which they come first."""
    return [{kind: _id(text), "text": text} for text in dict.fromkeys(texts)]


def _id(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
