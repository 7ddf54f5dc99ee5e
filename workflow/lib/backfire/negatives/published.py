"""Sampling published triples, as those of MS MARCO, in one pass over them.

Memory holds 8 bytes for each passage of the corpus, 24 bytes for each triple that is asked for, twice while the pass
lasts, and never the triples themselves.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa

from backfire.datasets.load import load_pairs, provenance, records
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows
from backfire.jobs.logs import progress
from backfire.keyed import key
from backfire.negatives.itself import Itself
from backfire.negatives.places import Places
from backfire.negatives.table import write_triples

# Triples that are read together.
READ = 1 << 16

# The triple's key, by which it is told from others (two of 40 million share one with a probability of 4e-5), the
# query's row, the places of both passages' ids among all keys of ids, and how often the triple was read.
_ROW = np.dtype([("key", "u8"), ("query", "i4"), ("positive", "i4"), ("negative", "i4"), ("times", "i4")])


def sample_published(
    corpus: str,
    source: str,
    queries: str,
    corpus_shards: list[str],
    query_embeddings: str,
    embeddings: list[str],
    size: int | None,
    seed: int,
    output: str,
    manifest: str,
    label: str | None = None,
) -> None:
    """Write the `size` published triples with the smallest keys of (seed, triple), and the base's cosines.

    `source` is the `ir_datasets` id of the triples, which must be about the passages of the id `corpus`. Taken are
    triples whose query is in the table `queries`, whose passages are in `corpus_shards` and whose negative is not the
    query itself (see `Itself`), equal ones once; None takes all of those. They are written in the order of their keys.
    Counts of what was read, kept and dropped, and why, go to `manifest`. Raises `BackfireError` when there are too few,
    or when they are of another corpus or not on this machine.
    """
    pairs = records(load_pairs(corpus, source), source, "docpairs")
    triples = ((pair.query_id, pair.doc_id_a, pair.doc_id_b) for pair in pairs)
    query_ids = read_rows(queries, "queries", ["query_id"])["query_id"].combine_chunks()
    passages = Places(corpus_shards)
    chosen, read, dropped = _choose(
        triples, query_ids.to_pylist(), passages, Itself(queries, corpus_shards), size, seed, label
    )
    asked = size or 1
    if len(chosen) < asked:
        raise BackfireError(
            f"triples: {asked} asked for, but '{source}' gives only {len(chosen)} of the {read} read ({dropped}).",
            "lower size, or check that the triples belong to the collection that is trained on.",
        )
    names = passages.names(np.union1d(chosen["positive"], chosen["negative"]))
    del passages
    write_triples(
        output,
        "published",
        query_ids.take(pa.array(chosen["query"])),
        names(chosen["positive"]),
        names(chosen["negative"]),
        None,
        query_embeddings,
        embeddings,
    )
    counts = {"read": read, "kept": len(chosen), "dropped": {why: count for why, count in dropped.items() if count}}
    write_json(manifest, {"source": source, **provenance(corpus, source), "seed": seed, "size": size, **counts})


def _choose(
    triples: Iterator[tuple[str, str, str]],
    query_ids: Sequence[str],
    passages: Places,
    itself: Itself,
    size: int | None,
    seed: int,
    label: str | None,
) -> tuple[np.ndarray, int, dict[str, int]]:
    """The triples with the smallest keys, in their order; how many were read; how many were dropped, by reason.

    `triples` are ids of a query, a relevant and another passage.
    """
    row_of = {query_id: row for row, query_id in enumerate(query_ids)}
    kept = _Smallest(size)
    read, foreign, same, cut = 0, 0, 0, 0
    with progress(label, None, "triple") as bar:
        while block := list(islice(triples, READ)):
            read += len(block)
            known = [triple for triple in block if triple[0] in row_of]
            foreign += len(block) - len(known)
            answered = [triple for triple in known if not itself(triple[0], triple[2])]
            same += len(known) - len(answered)
            known = answered
            places = [passages.of([triple[column] for triple in known]) for column in (1, 2)]
            whole = np.flatnonzero((places[0] >= 0) & (places[1] >= 0))
            cut += len(known) - len(whole)
            rows = np.empty(len(whole), _ROW)
            rows["key"] = [key(seed, *known[row]) for row in whole]
            rows["query"] = [row_of[known[row][0]] for row in whole]
            rows["positive"], rows["negative"] = places[0][whole], places[1][whole]
            rows["times"] = 1
            kept.add(rows)
            bar.update(len(block))
    chosen = kept.rows()
    repeated = int(chosen["times"].sum()) - len(chosen)
    dropped = {
        "query is no training query": foreign,
        "negative is the query itself": same,
        "passage not kept": cut,
        "repeats a kept one": repeated,
        "beyond size": read - foreign - same - cut - repeated - len(chosen),
    }
    return chosen, read, dropped


class _Smallest:
    """The `size` distinct rows with the smallest keys among those added, all of them without a size."""

    def __init__(self, size: int | None):
        self._size, self._pieces, self._count, self._limit = size, [], 0, 0
        self._highest = np.uint64(2**64 - 1)

    def add(self, rows: np.ndarray) -> None:
        """Take rows up, unless they cannot be among the smallest."""
        rows = rows[rows["key"] <= self._highest]
        self._pieces.append(rows)
        self._count += len(rows)
        if self._count > self._limit:
            self._limit = 2 * max(len(self.rows()), READ)

    def rows(self) -> np.ndarray:
        """The smallest so far, in order; `times` is how often each was added, exact for those that stay to the end."""
        rows = np.concatenate([np.empty(0, _ROW), *self._pieces])
        self._pieces = []
        rows = rows[np.argsort(rows["key"], kind="stable")]
        fresh = np.flatnonzero(np.diff(rows["key"], prepend=rows["key"][:1] + np.uint64(1)))
        times = np.add.reduceat(rows["times"], fresh) if len(rows) else rows["times"]
        rows = rows[fresh]
        rows["times"] = times
        rows = rows[: self._size].copy()
        if self._size is not None and len(rows) == self._size:
            self._highest = rows["key"][-1]
        self._pieces, self._count = [rows], len(rows)
        return rows
