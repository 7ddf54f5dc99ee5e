"""A file of pairs as a collection: its distinct passages and queries, its judgments, and splits by a hash of the query.

A row holds a query, a passage that answers it, or several, and perhaps passages that do not. Files are those of
`records`, or a folder that `datasets.save_to_disk` wrote.
"""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from backfire.datasets.duplicates import groups, near_duplicates
from backfire.datasets.qrels import parsed_grade
from backfire.datasets.records import Record, records, short
from backfire.datasets.records import count as count_records
from backfire.datasets.sources import PARTS, pairs_files, saved_splits
from backfire.datasets.text import normalised
from backfire.errors import BackfireError, nearest
from backfire.formats.atomic import write_json
from backfire.formats.tables import write_rows
from backfire.jobs.logs import progress
from backfire.keyed import keyed_share
from backfire.provenance.fingerprints import file_sha256

# Names that files of sentence-transformers and of training sets on the hub give to each part, in lower case.
NAMES = {
    "query": ("anchor", "query", "question", "sentence1", "sentence_1", "text1"),
    "passage": ("positive", "pos", "passage", "document", "answer", "response", "context", "sentence2", "text2")
    + ("sentence_2", "positives", "positive_passages"),
    "grade": ("label", "score", "relevance"),
}
NEGATIVE = re.compile(r"(negative|neg)(_?\d+)?|negatives|negative_passages")

# Hexadecimal digits of an id.
ID_DIGITS = 16

_logger = logging.getLogger(__name__)


class Columns(NamedTuple):
    """Names of the columns of a file: of the query, the passage, passages that do not answer, and the pair's grade."""

    query: str
    passage: str
    negatives: tuple[str, ...] = ()
    grade: str | None = None


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
) -> None:
    """Write the tables of the collection that the pairs of `source` make: passages, queries, judgments by split.

    `named` gives columns by part (query, passage, negative, grade; False where a file has no grades); those it leaves
    out are found by their usual names.
    Texts that differ in outer white space only are one. Ids are the first 16 digits of the SHA-256 of the text, so a
    query that is a passage has its id. A saved data set with splits keeps them; else queries with the smallest hashes
    are held out, in the shares of `held_out` (dev, test), near-duplicate queries together, and the rest is for
    training. `queries` and `qrels` hold the paths by split. The manifest tells columns, counts and the digests of the
    files. Raises `BackfireError` for rows without a text, columns that cannot be told, and a file without a pair.
    """
    found: dict[tuple[str, str], int] = {}
    given: dict[str, str] = {}
    seen, read, repeated, across = None, 0, 0, Counter()
    with progress(f"reading {source}", None, "pair") as bar:
        for split, rows in _sources(source, named):
            for columns, where, entry in _with_columns(rows, named):
                for pair in _pairs(where, entry, columns):
                    read += 1
                    place = pair.query, pair.passage
                    repeated += place in found
                    # Relevant once is relevant, whatever another row draws as a negative.
                    found[place] = max(pair.grade, found.get(place, pair.grade))
                    if split is not None and given.setdefault(pair.query, split) != split:
                        across[split] += 1
                bar.update()
                seen = columns
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
    found = (
        pair
        for _, rows in _sources(source, named)
        for columns, where, entry in _with_columns(rows, named)
        for pair in _pairs(where, entry, columns)
    )
    return list(islice(found, count))


def rows_of(source: str) -> int:
    """Rows of a file or of a saved data set; a header counts as one."""
    if not Path(source).is_dir():
        return count_records(source)
    from datasets import load_from_disk

    return sum(len(load_from_disk(str(folder))) for folder in saved_splits(source).values())


def columns_of(where: str, entry: Collection[str], named: Mapping[str, Any] | None) -> Columns:
    """Which columns of a row hold what, by `named` and by their usual names. Raises `BackfireError` for any doubt."""
    named = {part: name for part, name in (named or {}).items() if name is not None}
    asked = [name for value in named.values() for name in ([value] if isinstance(value, str) else value or [])]
    for name in asked:
        if name not in entry:
            raise BackfireError(f"{where}: columns: there is no '{name}', {nearest(name, entry)}", "correct the name.")
    free = [name for name in entry if name not in asked]
    query, passage = (named.get(part) or _usual(where, part, free, entry) for part in ("query", "passage"))
    grades = [name for name in free if name.lower() in NAMES["grade"]]
    if len(grades) > 1 and "grade" not in named:
        raise _doubt(where, "grade", grades, entry)
    grade = named.get("grade", next(iter(grades), None)) or None
    negatives = named.get("negative", [name for name in free if NEGATIVE.fullmatch(name.lower())])
    negatives = [negatives] if isinstance(negatives, str) else negatives
    return Columns(query, passage, tuple(negatives), grade)


def _with_columns(
    rows: Iterator[Record], named: Mapping[str, Any] | None
) -> Iterator[tuple[Columns, str, dict[str, Any]]]:
    """Rows of one file, with the columns that its first row has."""
    columns = None
    for where, entry in rows:
        columns = columns or _told(where, entry, named)
        yield columns, where, entry


def _told(where: str, entry: Collection[str], named: Mapping[str, Any] | None) -> Columns:
    columns = columns_of(where, entry, named)
    used = [columns.query, columns.passage, *columns.negatives, columns.grade]
    _logger.info(
        "%s: queries are '%s', passages '%s', negatives %s, grades %s; not read: %s",
        where,
        columns.query,
        columns.passage,
        ", ".join(columns.negatives) or "none",
        columns.grade or "none",
        ", ".join(name for name in entry if name not in used) or "none",
    )
    return columns


def _usual(where: str, part: str, free: Iterable[str], entry: Collection[str]) -> str:
    found = [name for name in free if name.lower() in NAMES[part]]
    if len(found) != 1:
        raise _doubt(where, part, found, entry)
    return found[0]


def _doubt(where: str, part: str, found: Sequence[str], entry: Collection[str]) -> BackfireError:
    doubt = f"{' and '.join(map(repr, found))} could each be the {part}" if found else f"no column is named as a {part}"
    return BackfireError(
        f"{where}: {doubt} (columns: {', '.join(map(short, entry))}).",
        f"say which is which under columns of the collection, as columns: {{query: {NAMES['query'][0]}, passage: "
        f"{NAMES['passage'][0]}}}; usual names of a {part} are {', '.join(NAMES[part])}.",
    )


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


def _sources(source: str, named: Mapping[str, Any] | None) -> Iterator[tuple[str | None, Iterator[Record]]]:
    """Runs of records, with the split that they are given, or None."""
    if not Path(source).is_dir():
        yield None, records(source, lambda name: True, lambda row: _header(source, row, named))
        return
    for split, folder in saved_splits(source).items():
        yield split, _saved(folder)


def _header(source: str, row: Sequence[str], named: Mapping[str, Any] | None) -> Sequence[str]:
    """The first line of a table, which names its columns."""
    columns_of(f"{source}:1", row, named)
    return list(row)


def _saved(folder: Path) -> Iterator[Record]:
    """Rows of a folder that `datasets.save_to_disk` wrote: Arrow's tables, no code."""
    from datasets import load_from_disk

    try:
        rows = load_from_disk(str(folder))
    except Exception as error:
        # Whatever the library raises for a folder that is cut short.
        reason = next(iter(str(error).splitlines()), "")
        raise BackfireError(
            f"{folder}: cannot be read as a saved data set ({type(error).__name__}: {reason}).",
            "write it again with save_to_disk, or write its rows with to_parquet.",
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{folder}: row {number}", row


def _pairs(where: str, entry: Mapping[str, Any], columns: Columns) -> Iterator[Pair]:
    for name in (columns.query, columns.passage):
        if name not in entry:
            raise BackfireError(
                f"{where}: no '{name}' among the keys {', '.join(sorted(entry)) or '(none)'}.",
                "every row needs a query and a passage, under the names of the first one.",
            )
    (query,) = _wordings(where, columns.query, [entry[columns.query]])
    grade = 1 if columns.grade is None else _grade(where, columns.grade, entry.get(columns.grade))
    positives = _wordings(where, columns.passage, _listed(entry[columns.passage]))
    yield from (Pair(query, passage, grade) for passage in positives)
    for name in columns.negatives:
        # A row may have fewer negatives than there are columns.
        given = [value for value in _listed(entry.get(name)) if value not in (None, "")]
        yield from (Pair(query, passage, 0) for passage in _wordings(where, name, given) if passage not in positives)


def _grade(where: str, name: str, value: Any) -> int:
    try:
        return parsed_grade(where, value)
    except BackfireError as error:
        hint = f"if '{name}' is no grade, as the score of a model is none, set columns: {{grade: false}}; {error.hint}"
        raise BackfireError(error.message, hint) from None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _wordings(where: str, name: str, values: Iterable[Any]) -> list[str]:
    """Texts of one cell: strings, or records with a text and perhaps a title."""
    found = []
    for value in values:
        text = value
        if isinstance(value, dict) and isinstance(value.get("text"), str):
            text = f"{value.get('title') or ''} {value['text']}"
        if not isinstance(text, str) or not text.strip():
            raise BackfireError(
                f"{where}: '{name}' is {short(repr(value))}, expected a text.",
                "every row needs the text of a query and of a passage; remove rows that have none.",
            )
        found.append(text.strip())
    return found


def _texts(kind: str, texts: Iterable[str]) -> list[dict[str, str]]:
    """Rows of ids and texts, each text once, in the order in which they come first."""
    return [{kind: _id(text), "text": text} for text in dict.fromkeys(texts)]


def _id(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
