"""`ir_datasets` documents that are read from start to end, without a second copy of the corpus on disk."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ir_datasets.formats import BaseDocs
from ir_datasets.indices.base import DEFAULT_DOCSTORE_OPTIONS, Docstore


class StreamedDocs(BaseDocs, ABC):
    """Documents of which `read()` gives a fresh iterator and `docs_cls()` the type.

    Counting, lookups and slices each read the source once.
    """

    @abstractmethod
    def read(self) -> Iterator[Any]:
        """All documents, in the order of the source."""

    def docs_iter(self) -> "Slices":
        """All documents; `docs_iter()[10:20]` gives those of a slice."""
        return Slices(self.read, self.docs_count)

    def docs_count(self) -> int:
        """Number of documents."""
        return sum(1 for _ in self.read())

    def docs_store(self, field: str = "doc_id", options=DEFAULT_DOCSTORE_OPTIONS) -> "ScanningStore":
        """Lookup by id."""
        return ScanningStore(self.read, self.docs_cls(), field, options)


class Slices:
    """An iterator that can be sliced as those of `ir_datasets`: by positions, also negative, or by fractions."""

    def __init__(self, read: Callable[[], Iterator[Any]], count: Callable[[], int]):
        self._read, self._count = read, count
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> "Slices":
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = self._read()
        return next(self._items)

    def __getitem__(self, key: int | slice) -> Any:
        count = self._count()
        if isinstance(key, int):
            position = key + count if key < 0 else key
            if not 0 <= position < count:
                raise IndexError(key)
            return next(islice(self._read(), position, None))
        start, stop = (math.floor(b * count) if isinstance(b, float) else b for b in (key.start, key.stop))
        if key.step is not None and key.step < 1:
            raise ValueError("step must be positive")
        return islice(self._read(), *slice(start, stop, key.step).indices(count))


class ScanningStore(Docstore):
    """Finds documents by reading the source once for each lookup."""

    def __init__(self, read: Callable[[], Iterator[Any]], doc_cls: type, field: str, options):
        super().__init__(doc_cls, field, options)
        self._read = read

    def get_many_iter(self, doc_ids) -> Iterator[Any]:
        """The documents with these ids, in the order of the source; ids that are not there are passed over."""
        wanted = set(doc_ids)
        for doc in self._read():
            if not wanted:
                return
            if doc[self._id_field_idx] in wanted:
                wanted.discard(doc[self._id_field_idx])
                yield doc
