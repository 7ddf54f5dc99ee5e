"""A local folder in BEIR layout as an `ir_datasets` dataset.

`corpus.jsonl` with `_id`, `text` and perhaps `title`; `queries.jsonl` with `_id` and `text`; `qrels/<split>.tsv` with
the tab-separated columns `query-id`, `corpus-id`, `score`. Each may be packed with gzip.
See Thakur et al. (2021), "BEIR: a heterogeneous benchmark for zero-shot evaluation of information retrieval models".
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import BaseQrels, BaseQueries, GenericQrel, GenericQuery
from ir_datasets.util import MetadataComponent

from backfire.datasets.sources import check_there, corpus_file, qrels_file, queries_file
from backfire.datasets.streams import StreamedDocs
from backfire.errors import BackfireError
from backfire.faults import reading

QRELS_HEADER = ("query-id", "corpus-id", "score")


class FolderDoc(NamedTuple):
    """A passage with its title, which may be empty."""

    doc_id: str
    text: str
    title: str

    def default_text(self) -> str:
        """Title and text joined by a space and stripped, as BEIR does."""
        return f"{self.title} {self.text}".strip()


def folder_dataset(folder: str, split: str | None = None) -> Dataset:
    """The passages of `folder`, with the queries and judgments of `split` when one is named.

    Raises `BackfireError` when a file is missing; a line that is not in order is told when it is read.
    """
    parts = [FolderDocs(_there(corpus_file(folder), folder))]
    if split is not None:
        parts.append(FolderQueries(_there(queries_file(folder), folder)))
        parts.append(FolderQrels(_there(qrels_file(folder, split), folder)))
    dataset = Dataset(*parts)
    return Dataset(MetadataComponent(f"{folder}/{split}" if split else folder, dataset), dataset)


class FolderDocs(StreamedDocs):
    """The passages of `corpus.jsonl`."""

    def __init__(self, path: str):
        self._path = path

    def read(self) -> Iterator[FolderDoc]:
        """All passages, in the order of the file."""
        for where, entry in _objects(self._path):
            title = entry.get("title")
            yield FolderDoc(
                _identifier(where, entry),
                _string(where, entry, "text"),
                "" if title is None else _string(where, entry, "title"),
            )

    def docs_path(self, force: bool = True) -> str:
        """The file."""
        return self._path

    def docs_cls(self) -> type:
        """Type of a passage."""
        return FolderDoc


class FolderQueries(BaseQueries):
    """The queries of `queries.jsonl`: those of every split."""

    def __init__(self, path: str):
        self._path = path

    def queries_iter(self) -> Iterator[GenericQuery]:
        """All queries, in the order of the file."""
        for where, entry in _objects(self._path):
            yield GenericQuery(_identifier(where, entry), _string(where, entry, "text"))

    def queries_path(self) -> str:
        """The file."""
        return self._path


class FolderQrels(BaseQrels):
    """The judgments of `qrels/<split>.tsv`; the header may be missing."""

    def __init__(self, path: str):
        self._path = path

    def qrels_iter(self) -> Iterator[GenericQrel]:
        """All judgments, in the order of the file."""
        for number, line in _lines(self._path):
            columns = tuple(line.split("\t"))
            if number == 1 and columns == QRELS_HEADER:
                continue
            if len(columns) != len(QRELS_HEADER):
                raise BackfireError(
                    f"{self._path}:{number}: found {len(columns)} tab-separated column(s) in {_short(line)}, expected "
                    f"{len(QRELS_HEADER)}: {', '.join(QRELS_HEADER)}.",
                    "separate the three columns by one tab each; a TREC qrels file loses its second column.",
                )
            query_id, doc_id, grade = columns
            try:
                relevance = int(grade)
            except ValueError:
                raise BackfireError(
                    f"{self._path}:{number}: found the grade {_short(grade)}, expected a whole number.",
                    "a grade says how relevant the passage is: 0 not at all, 1 or more relevant; the first line may "
                    f"be the header {' '.join(QRELS_HEADER)}, separated by tabs.",
                ) from None
            yield GenericQrel(query_id, doc_id, relevance)

    def qrels_path(self) -> str:
        """The file."""
        return self._path

    def qrels_defs(self) -> dict[int, str]:
        """What the grades mean: the layout does not tell."""
        return {}


def _there(path: str, folder: str) -> str:
    check_there(path, folder)
    return path


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """(line number, line without its end) of the lines that are not blank."""
    number = 0
    try:
        with reading(path), gzip.open(path, "rb") if path.endswith(".gz") else Path(path).open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise BackfireError(f"{path}:{number}: not UTF-8 ({error.reason}).", "save the file as UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BackfireError(
            f"{path}: cannot be unpacked after line {number} ({error}).",
            "the file was cut short or damaged; fetch it again.",
        ) from error


def _objects(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, JSON object) of every line."""
    for number, line in _lines(path):
        where = f"{path}:{number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise BackfireError(
                f"{where}: not a JSON object but {_short(line)} ({error.msg} at column {error.colno}).",
                "each line is one whole JSON object, with control characters escaped (NUL as \\u0000); a broken last "
                "line means that the file was cut short.",
            ) from error
        if not isinstance(entry, dict):
            raise BackfireError(
                f"{where}: found {_short(line)}, expected a JSON object.",
                'a line looks like {"_id": "7", "text": "..."}.',
            )
        yield where, entry


def _identifier(where: str, entry: dict[str, Any]) -> str:
    found = entry.get("_id")
    # Some collections write their numeric ids without quotes; the qrels hold text either way.
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return _string(where, entry, "_id")


def _string(where: str, entry: dict[str, Any], key: str) -> str:
    if key not in entry:
        raise BackfireError(
            f"{where}: no '{key}' among the keys {', '.join(sorted(entry)) or '(none)'}.",
            "every line needs _id and text; the layout is that of BEIR.",
        )
    if not isinstance(entry[key], str):
        raise BackfireError(
            f"{where}: '{key}' is {_short(json.dumps(entry[key]))}, expected a string.", f"put {key} in quotes."
        )
    return entry[key]


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
