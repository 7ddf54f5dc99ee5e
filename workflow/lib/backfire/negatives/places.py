"""Passages by 64-bit keys of their ids or texts, so that memory holds 8 bytes for each and none of them as text.

Two of 10 million share a key with a probability of 3e-6; they would count as the same passage.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from backfire.formats.tables import iterate_rows
from backfire.keyed import key


def worded(text: str) -> str:
    """A text with every run of white space as one space: what texts of one passage may differ in."""
    return " ".join(text.split())


class Places:
    """The passages of a corpus in the order of their keys, found by their ids or by their texts (see `worded`).

    Of passages of one text the first stands for all.
    """

    def __init__(self, corpus_shards: Sequence[str], by: str = "doc_id"):
        """Read the keys of all passages of the shards, a batch at a time; `by` is doc_id or text."""
        self._shards, self._by = corpus_shards, by
        self._all = np.unique(np.concatenate([np.empty(0, np.uint64), *(found for _, found in self._batches())]))

    def of(self, names: Sequence[str]) -> np.ndarray:
        """The places of ids or texts, int64 of shape (names,); -1 for what no passage has."""
        if not len(self._all):
            return np.full(len(names), -1)
        found = self._keys(names)
        places = np.minimum(np.searchsorted(self._all, found), len(self._all) - 1)
        return np.where(self._all[places] == found, places, -1)

    def names(self, places: np.ndarray) -> Callable[[np.ndarray], pa.Array]:
        """A function from places, of those in `places`, to the passages' ids."""
        wanted = np.zeros(len(self._all), bool)
        wanted[places] = True
        at, ids = [np.empty(0, np.int64)], [pa.array([], pa.string())]
        for doc_ids, keys in self._batches():
            found = np.searchsorted(self._all, keys)
            rows = np.flatnonzero(wanted[found])
            at.append(found[rows])
            ids.append(doc_ids.take(pa.array(rows)))
        at, ids = np.concatenate(at), pa.concat_arrays(ids)
        order = np.argsort(at, kind="stable")
        at = at[order]
        return lambda asked: ids.take(pa.array(order[np.searchsorted(at, asked)]))

    def _batches(self) -> Iterator[tuple[pa.Array, np.ndarray]]:
        """Ids and keys of the passages, a batch at a time."""
        for path in self._shards:
            for batch in iterate_rows(path, "corpus"):
                yield batch["doc_id"], self._keys(batch[self._by].to_pylist())

    def _keys(self, names: Sequence[str]) -> np.ndarray:
        if self._by == "text":
            names = list(map(worded, names))
        return np.fromiter(map(key, names), np.uint64, len(names))
