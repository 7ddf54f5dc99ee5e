"""Which text stands for a passage: `default`, `published` or `untitled`."""

from collections.abc import Iterator
from inspect import signature
from typing import Any

from ir_datasets.datasets.base import Dataset
from ir_datasets.datasets.msmarco_passage import FixEncoding
from ir_datasets.formats.tsv import TsvIter

from backfire.datasets.streams import StreamedDocs
from backfire.errors import BackfireError

DEFAULT, PUBLISHED, UNTITLED = "default", "published", "untitled"


class PublishedDocs(StreamedDocs):
    """Passages of a file of tab-separated values as they were published, without the repair of their encoding."""

    def __init__(self, streamer: Any, docs_cls: type):
        self._streamer, self._docs_cls = streamer, docs_cls

    def read(self) -> Iterator[Any]:
        """All passages, in the order of the file."""
        return TsvIter(self._docs_cls, self._lines())

    def docs_cls(self) -> type:
        """Type of a passage."""
        return self._docs_cls

    def _lines(self) -> Iterator[str]:
        # A member of a tar file that is read as a stream cannot be wrapped as text.
        with self._streamer.stream() as stream:
            for line in stream:
                if line.strip():
                    yield line.decode("utf-8").rstrip("\r\n")


def docs_of(dataset: Dataset, source: str, text: str) -> Any:
    """The handler of a dataset's passages that holds the text variant `text`.

    Raises `BackfireError` that names the texts there are when the source has no such variant.
    """
    handler = dataset.docs_handler()
    if text not in texts_of(handler):
        why = {
            PUBLISHED: "its text is the published one: nothing repairs it",
            UNTITLED: "its passages have no titles",
        }[text]
        raise BackfireError(
            f"'{source}' has no text '{text}': {why}.", f"set text to {' or '.join(texts_of(handler))}."
        )
    return PublishedDocs(_repaired(handler), handler.docs_cls()) if text == PUBLISHED else handler


def texts_of(handler: Any) -> list[str]:
    """The text variants that a handler of passages has."""
    titled = {"title", "text"} <= set(handler.docs_cls()._fields)
    return [DEFAULT, *([PUBLISHED] if _repaired(handler) else []), *([UNTITLED] if titled else [])]


def passages(handler: Any) -> Iterator[Any]:
    """All passages of a handler, streamed from the source: many of `ir_datasets` first build a copy to look ids up in.

    That copy doubles the disk, and two jobs that build it at once spoil it.
    """
    stream = getattr(handler, "_docs_iter", None)
    return stream() if stream and not signature(stream).parameters else handler.docs_iter()


def wording(record: Any, source: str, text: str = DEFAULT) -> str:
    """The text of a passage or query record."""
    if text == UNTITLED:
        return record.text.strip()
    if not hasattr(record, "default_text"):
        raise BackfireError(
            f"'{source}': {type(record).__name__} with the fields {', '.join(record._fields)} has no default text.",
            "write the texts to a folder in BEIR layout and name that folder as the corpus.",
        )
    return record.default_text().strip() if text == DEFAULT else record.default_text()


def sentence(handler: Any, text: str) -> str:
    """What a text variant of a handler is, in a sentence for the manifest."""
    if text == UNTITLED:
        return "The text alone, without the title, stripped of outer white space."
    if text == PUBLISHED:
        return "The text exactly as it was published, its encoding not repaired."
    if {"title", "text"} <= set(handler.docs_cls()._fields):
        return "Title and text joined by a space and stripped of outer white space, as BEIR does."
    repaired = ", its encoding repaired by ir_datasets" if _repaired(handler) else ""
    return f"The default text of ir_datasets{repaired}, stripped of outer white space."


def _repaired(handler: Any) -> Any | None:
    """The file beneath a repair of the encoding, where a handler reads from one."""
    repair = getattr(getattr(handler, "_dlc", None), "_streamer", None)
    return repair._streamer if isinstance(repair, FixEncoding) else None
