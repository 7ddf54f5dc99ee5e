"""A local folder as an `ir_datasets` dataset: the layout of BEIR, and what other tools write in its place.

`corpus.jsonl` with `_id`, `text` and perhaps `title`; `queries.jsonl` with `_id` and `text`; `qrels/<split>.tsv` with
the tab-separated columns `query-id`, `corpus-id`, `score`. See Thakur et al. (2021), "BEIR: a heterogeneous benchmark
for zero-shot evaluation of information retrieval models". What else is read is shown in docs/inputs.md.
"""

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import BaseQueries, GenericQuery
from ir_datasets.util import MetadataComponent

from backfire.datasets.layout import corpus_files, qrels_files, queries_files
from backfire.datasets.qrels import FolderQrels
from backfire.datasets.records import records, short
from backfire.datasets.streams import StreamedDocs
from backfire.errors import BackfireError

# BEIR's name first. Where it is there, the others are something else; of the others there must be one.
ID = ("_id", "id", "docid", "doc_id", "doc-id", "docno", "pid", "passage_id", "corpus-id", "corpus_id")
QUERY_ID = ("_id", "id", "qid", "query_id", "query-id", "topic_id")
TEXT = ("text", "contents", "content", "body", "passage", "segment")
QUERY_TEXT = ("text", "query", "contents", "question")
# Of Anserini and Pyserini: all that is indexed, the title included.
CONTENTS = "contents"

_logger = logging.getLogger(__name__)


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

    Raises `BackfireError` when a file is missing or it cannot be told which is meant; a line that is not in order is
    told when it is read.
    """
    parts = [FolderDocs(corpus_files(folder))]
    if split is not None:
        parts += [FolderQueries(queries_files(folder, split)), FolderQrels(qrels_files(folder, split))]
    dataset = Dataset(*parts)
    return Dataset(MetadataComponent(f"{folder}/{split}" if split else folder, dataset), dataset)


class FolderDocs(StreamedDocs):
    """The passages."""

    def __init__(self, paths: list[str]):
        self._paths = paths

    def read(self) -> Iterator[FolderDoc]:
        """All passages, in the order of the files."""
        for where, entry, doc_id, text in _entries(self._paths, ID, TEXT, {"title"}):
            title = "" if entry.get("title") is None else _string(where, entry, "title")
            content = _string(where, entry, text)
            if text == CONTENTS and title.strip():
                if not content.lstrip().startswith(title.strip()):
                    raise BackfireError(
                        f"{where}: '{CONTENTS}' does not begin with the title {short(title)}, so it cannot be told "
                        "whether the title is part of the passage.",
                        f"by the convention of Anserini '{CONTENTS}' holds all text: put the title in front of it, or "
                        "name the field text, which is joined with the title.",
                    )
                title = ""
            yield FolderDoc(_identifier(where, entry, doc_id), content, title)

    def docs_path(self, force: bool = True) -> str:
        """The file, or the first of several."""
        return self._paths[0]

    def docs_cls(self) -> type:
        """Type of a passage."""
        return FolderDoc


class FolderQueries(BaseQueries):
    """The queries: those of a split, or of every one."""

    def __init__(self, paths: list[str]):
        self._paths = paths

    def queries_iter(self) -> Iterator[GenericQuery]:
        """All queries, in the order of the files."""
        for where, entry, query_id, text in _entries(self._paths, QUERY_ID, QUERY_TEXT):
            yield GenericQuery(_identifier(where, entry, query_id), _string(where, entry, text))

    def queries_path(self) -> str:
        """The file, or the first of several."""
        return self._paths[0]


def _entries(
    paths: list[str], ids: Sequence[str], texts: Sequence[str], others: Collection[str] = ()
) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Where a record stands, the record, and the names of its id and its text, which are the same in all of a file.

    A table of text without a header has two columns, id and text.
    """

    def named(row: Sequence[str]) -> Sequence[str]:
        return list(row) if set(ids) & set(row) and set(texts) & set(row) else ["_id", "text"]

    wanted = {*ids, *texts, *others}
    for path in paths:
        key = text = None
        for where, entry in records(path, wanted.__contains__, named):
            if key is None:
                key, text = _named(where, entry, ids, True), _named(where, entry, texts, "_id" in entry)
                if (key, text) != ("_id", "text"):
                    _logger.info("%s: ids are '%s', texts '%s'", path, key, text)
            for name in (key, text):
                if name not in entry:
                    raise BackfireError(
                        f"{where}: no '{name}' among the keys {', '.join(sorted(entry)) or '(none)'}.",
                        f"every record of a file needs {key} and {text}, as its first one.",
                    )
            yield where, entry, key, text


def _named(where: str, entry: dict[str, Any], names: Sequence[str], beir: bool) -> str:
    """Under which of the names a record has its id, or its text; with `beir` under the first, where that is there."""
    found = [name for name in names if name in entry]
    if len(found) == 1 or (beir and names[0] in entry):
        return found[0]
    if found:
        raise BackfireError(
            f"{where}: {' and '.join(map(repr, found))} could both be the {'id' if '_id' in names else 'text'}.",
            "leave one of them out, or name those that are meant _id and text.",
        )
    raise BackfireError(
        f"{where}: no '{names[0]}' among the keys {', '.join(sorted(entry)) or '(none)'}, nor another name of it "
        f"({', '.join(names[1:])}).",
        "every record needs _id and text, under these names or one of those.",
    )


def _identifier(where: str, entry: dict[str, Any], key: str) -> str:
    found = entry[key]
    # Some collections write their numeric ids without quotes; the qrels hold text either way.
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return _string(where, entry, key)


def _string(where: str, entry: dict[str, Any], key: str) -> str:
    if not isinstance(entry[key], str):
        raise BackfireError(
            f"{where}: '{key}' is {short(json.dumps(entry[key], default=str))}, expected a string.",
            f"put {key} in quotes; in Parquet its column is one of strings.",
        )
    return entry[key]
