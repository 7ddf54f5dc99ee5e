"""Rows of files of pairs and triples: a query, passages that answer it, and perhaps passages that do not.

Files are those of `records`, or a folder that `datasets.save_to_disk` wrote. Which column holds what is named, or told
by the usual names.
"""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from backfire.datasets.qrels import parsed_grade
from backfire.datasets.records import Record, records, short
from backfire.datasets.records import count as count_records
from backfire.datasets.sources import saved_splits
from backfire.errors import BackfireError, nearest

# Names that files of sentence-transformers and of training sets on the hub give to each part, in lower case.
NAMES = {
    "query": ("anchor", "query", "question", "sentence1", "sentence_1", "text1"),
    "passage": ("positive", "pos", "passage", "document", "answer", "response", "context", "sentence2", "text2")
    + ("sentence_2", "positives", "positive_passages"),
    "grade": ("label", "score", "relevance"),
}
NEGATIVE = re.compile(r"(negative|neg)(_?\d+)?|negatives|negative_passages")
# Names of columns of ids, the first of each those of Backfire's own tables of triples.
ID_NAMES = {
    "query": ("query_id", "qid", "query-id"),
    "passage": ("positive_id", "pos_id", "positive_ids", "pos_pids", "pid", "doc_id"),
}
NEGATIVE_ID = re.compile(r"(negative|neg)_(p?ids?)(_?\d+)?")

_logger = logging.getLogger(__name__)


class Columns(NamedTuple):
    """Names of the columns of a file: of the query, the passage, passages that do not answer, and the pair's grade."""

    query: str
    passage: str
    negatives: tuple[str, ...] = ()
    grade: str | None = None


class Row(NamedTuple):
    """One row: where it stands, its query, passages (of a grade above 0 they answer), those that do not.

    All are stripped of outer white space; `split` is the part of a saved data set that holds it, where it has parts.
    """

    where: str
    split: str | None
    query: str
    passages: list[str]
    negatives: list[str]
    grade: int
    columns: Columns


def file_rows(source: str, named: Mapping[str, Any] | None, triples: bool = False) -> Iterator[Row]:
    """The rows of a file or a saved data set, in their order.

    `named` gives columns by part (query, passage, negative, grade; False where a file has no grades); those it leaves
    out are found by their usual names. Of `triples` a row may also hold ids, and a table of text may have no header:
    its columns then are a query, a passage that answers it, and passages that do not.
    Raises `BackfireError` for columns that cannot be told and for a row without its texts.
    """
    for split, entries in _sources(source, named, triples):
        columns = None
        for where, entry in entries:
            columns = columns or _told(where, entry, named, triples)
            yield _row(where, split, entry, columns, triples)


def count_rows(source: str) -> int:
    """Rows of a file or of a saved data set; a header counts as one."""
    if not Path(source).is_dir():
        return count_records(source)
    from datasets import load_from_disk

    return sum(len(load_from_disk(str(folder))) for folder in saved_splits(source).values())


def columns_of(where: str, entry: Collection[str], named: Mapping[str, Any] | None, triples: bool = False) -> Columns:
    """Which columns of a row hold what, by `named` and by their usual names. Raises `BackfireError` for any doubt."""
    named = {part: name for part, name in (named or {}).items() if name is not None}
    asked = [name for value in named.values() for name in ([value] if isinstance(value, str) else value or [])]
    for name in asked:
        if name not in entry:
            raise BackfireError(f"{where}: columns: there is no '{name}', {nearest(name, entry)}", "correct the name.")
    free = [name for name in entry if name not in asked]
    query, passage = (named.get(part) or _usual(where, part, free, entry, triples) for part in ("query", "passage"))
    grades = [name for name in free if name.lower() in NAMES["grade"]]
    if len(grades) > 1 and "grade" not in named:
        raise _doubt(where, "grade", grades, entry, triples)
    grade = named.get("grade", next(iter(grades), None)) or None
    negatives = named.get("negative") or next(
        (
            found
            for names in ([NEGATIVE, NEGATIVE_ID] if triples else [NEGATIVE])
            if (found := [name for name in free if names.fullmatch(name.lower())])
        ),
        [],
    )
    negatives = [negatives] if isinstance(negatives, str) else negatives
    return Columns(query, passage, tuple(negatives), grade)


def _told(where: str, entry: Collection[str], named: Mapping[str, Any] | None, triples: bool) -> Columns:
    columns = columns_of(where, entry, named, triples)
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


def _usual(where: str, part: str, free: Iterable[str], entry: Collection[str], triples: bool) -> str:
    found: list[str] = []
    # Texts before ids, should a file have both.
    for usual in [NAMES, ID_NAMES] if triples else [NAMES]:
        found = found or [name for name in free if name.lower() in usual[part]]
    if len(found) != 1:
        raise _doubt(where, part, found, entry, triples)
    return found[0]


def _doubt(where: str, part: str, found: Sequence[str], entry: Collection[str], triples: bool) -> BackfireError:
    doubt = f"{' and '.join(map(repr, found))} could each be the {part}" if found else f"no column is named as a {part}"
    of, usual = ("triples", NAMES[part] + ID_NAMES.get(part, ())) if triples else ("collection", NAMES[part])
    return BackfireError(
        f"{where}: {doubt} (columns: {', '.join(map(short, entry))}).",
        f"say which is which under columns of the {of}, as columns: {{query: {NAMES['query'][0]}, passage: "
        f"{NAMES['passage'][0]}}}; usual names of a {part} are {', '.join(usual)}.",
    )


def _sources(
    source: str, named: Mapping[str, Any] | None, triples: bool
) -> Iterator[tuple[str | None, Iterator[Record]]]:
    """Runs of records, with the split that they are given, or None."""
    if not Path(source).is_dir():
        yield None, records(source, lambda name: True, lambda row: _header(source, row, named, triples))
        return
    for split, folder in saved_splits(source).items():
        yield split, _saved(folder)


def _header(source: str, row: Sequence[str], named: Mapping[str, Any] | None, triples: bool) -> Sequence[str]:
    """The names of the columns of a table of text: its first line, unless none of it names one."""
    usual = {name for names in (NAMES, ID_NAMES) for part in names.values() for name in part}
    unnamed = usual.isdisjoint(map(str.lower, row)) and not {"query", "passage"} & (named or {}).keys()
    if triples and unnamed and len(row) > 2:
        _logger.info("%s: no header: a query, a passage that answers it, and %d that do not", source, len(row) - 2)
        return ["query", "positive", *(f"negative_{number}" for number in range(1, len(row) - 1))]
    columns_of(f"{source}:1", row, named, triples)
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


def _row(where: str, split: str | None, entry: Mapping[str, Any], columns: Columns, ids: bool) -> Row:
    for name in (columns.query, columns.passage):
        if name not in entry:
            raise BackfireError(
                f"{where}: no '{name}' among the keys {', '.join(sorted(entry)) or '(none)'}.",
                "every row needs a query and a passage, under the names of the first one.",
            )
    (query,) = _wordings(where, columns.query, [entry[columns.query]], ids)
    grade = 1 if columns.grade is None else _grade(where, columns.grade, entry.get(columns.grade))
    passages = _wordings(where, columns.passage, _listed(entry[columns.passage]), ids)
    negatives = []
    for name in columns.negatives:
        # A row may have fewer negatives than there are columns.
        given = [value for value in _listed(entry.get(name)) if value not in (None, "")]
        negatives += _wordings(where, name, given, ids)
    return Row(where, split, query, passages, negatives, grade, columns)


def _grade(where: str, name: str, value: Any) -> int:
    try:
        return parsed_grade(where, value)
    except BackfireError as error:
        hint = f"if '{name}' is no grade, as the score of a model is none, set columns: {{grade: false}}; {error.hint}"
        raise BackfireError(error.message, hint) from None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _wordings(where: str, name: str, values: Iterable[Any], ids: bool) -> list[str]:
    """Texts of one cell: strings, or records with a text and perhaps a title; where `ids` may stand, numbers too."""
    found = []
    for value in values:
        text = str(value) if ids and isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(value, dict) and isinstance(value.get("text"), str):
            text = f"{value.get('title') or ''} {value['text']}"
        if not isinstance(text, str) or not text.strip():
            raise BackfireError(
                f"{where}: '{name}' is {short(repr(value))}, expected a text.",
                "every row needs the text of a query and of a passage; remove rows that have none.",
            )
        found.append(text.strip())
    return found
