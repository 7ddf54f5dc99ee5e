"""Exact top-k search over the shards of a corpus.

Candidates come from a float32 matrix product over the vectors of a Flat index, block by block (see `products`), or
from what another index finds; each (query, passage) pair is then scored again in float64 in a fixed order of summation
and rounded to float32. Passages are ordered by that score, descending, then by doc id, ascending. So over Flat indexes
a ranking depends on the vectors alone: not on the number of shards, blocks or threads, on a GPU or on anyone's choice
among ties.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.embeddings import embeddings_digest, one_arithmetic, read_embedding_ids, read_embeddings
from backfire.formats.index import flat_vectors, read_index
from backfire.formats.trec import Ranking, write_run
from backfire.jobs.logs import progress
from backfire.retrieval.products import Workers, margins

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# Candidates asked of an approximate index beyond k, whose own scores may be a little off.
SLACK = 64
# Passages that are converted to float64 together: few enough to stay in a core's cache.
CONVERT_ROWS = 256


@dataclass(frozen=True)
class Shard:
    """Passages of one shard: ids, unit-norm float32 embeddings (passages x dimensions), and the index of those."""

    doc_ids: Sequence[str]
    embeddings: np.ndarray
    index: Any
    source: str = "shard"


@dataclass(frozen=True)
class _Best:
    """The best passages of one query so far, in final order: float32 scores and doc ids (an object array)."""

    scores: np.ndarray
    doc_ids: np.ndarray

    def floor(self, k: int) -> float:
        """The k-th best score, -inf while there are fewer."""
        return float(self.scores[k - 1]) if len(self.scores) >= k else -np.inf


def rank(
    queries: str | Path,
    embeddings: Sequence[str | Path],
    indexes: Sequence[str | Path],
    depth: int,
    tag: str,
    output: str | Path,
    threads: int = 1,
    label: str = "rank",
    drop_own_ids: bool = False,
    cost: str | Path | None = None,
) -> None:
    """Write the TREC run of the query embeddings in `queries` over a corpus to `output`, `depth` passages per query.

    With `drop_own_ids` a passage whose id is that of the query is left out, and the next one follows it up. Several
    tools do so, for collections whose queries are passages themselves. Where ids of queries and passages are unrelated
    numbers, as in MS MARCO, it drops a passage by accident.

    `embeddings` and `indexes` name the files of the corpus's shards, in the same order. One shard is in memory at a
    time. `tag` goes into the last column, `label` into the lines that tell progress. `cost` is given the number of
    queries and the seconds that searching took, reading left out. Raises `BackfireError` as `search` does.
    """
    one_arithmetic([queries, *embeddings])
    query_ids, matrix = read_embeddings(queries, "query_id")
    shards = stored_shards(embeddings, indexes, label)
    spent = {"queries_searched": len(query_ids), "seconds_searching": 0.0}
    run = search(query_ids, matrix, shards, depth + drop_own_ids, threads, spent=spent)
    write_run(output, _without_own_ids(run, depth) if drop_own_ids else run, tag)
    if cost is not None:
        write_json(cost, spent)


def _without_own_ids(run: Iterable[tuple[str, Ranking]], depth: int) -> Iterator[tuple[str, Ranking]]:
    """The first `depth` passages of each ranking that do not have the query's id."""
    dropped = 0
    for query_id, ranking in run:
        kept = [hit for hit in ranking if hit[0] != query_id]
        dropped += len(kept) < len(ranking)
        yield query_id, kept[:depth]
    log.info("%d queries rank a passage with their own id; it is left out.", dropped)


def stored_shards(
    embeddings: Sequence[str | Path], indexes: Sequence[str | Path], label: str | None = "search"
) -> Iterator[Shard]:
    """Load the shards of a corpus one after another; a shard is freed once the caller drops it.

    A Flat index holds the vectors themselves, which are not read a second time. Raises `BackfireError` for an index of
    other embeddings than those beside it.
    """
    with progress(label, total=len(embeddings), unit="shard") as bar:
        for vectors, stored in zip(embeddings, indexes, strict=True):
            index = read_index(stored, embeddings_digest(vectors))
            flat = flat_vectors(index)
            if flat is None:
                yield Shard(*read_embeddings(vectors, "doc_id"), index=index, source=str(vectors))
            else:
                yield Shard(read_embedding_ids(vectors, "doc_id"), flat, index, str(vectors))
            del index, flat
            bar.update(1)


def search(
    query_ids: Sequence[str],
    queries: np.ndarray,
    shards: Iterable[Shard],
    k: int,
    threads: int = 1,
    device: "torch.device | None" = None,
    spent: dict[str, float] | None = None,
) -> Iterator[tuple[str, Ranking]]:
    """Rank the passages of all `shards` for `queries` (float32, queries x dimensions) by inner product.

    Gives (query_id, the `k` best as (doc_id, score)) in the order of `query_ids`. Over Flat indexes the result is
    exact and the same for any number of shards, even where all scores tie; over others the candidates are what the
    index finds, k + SLACK per shard, and a ranking may be shorter than k. Memory is bounded by a shard, a block of
    scores for each thread and queries x k, provided that `shards` loads lazily. Work is shared by `threads` threads;
    with a torch `device` the products over Flat indexes are computed there, which changes no bit of the result. To
    `seconds_searching` in `spent` is added what it took, loading shards left out.

    A corpus of fewer than `k` passages is ranked whole. Raises
    `BackfireError` when dimensions differ, or when a vector is not finite.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if k < 1 or queries.ndim != 2 or len(query_ids) != len(queries):
        raise ValueError(f"k {k}, {len(query_ids)} query ids, query matrix {queries.shape}")
    _norms(queries, query_ids, "queries", "query")
    best = [_Best(np.empty(0, np.float32), np.empty(0, object))] * len(queries)
    passages = 0
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(threads, "blas"):
        workers = Workers(pool, threads, device)
        for shard in shards:
            begun = time.perf_counter()
            _search_shard(shard, queries, best, k, workers)
            if spent is not None:
                spent["seconds_searching"] += time.perf_counter() - begun
            passages += len(shard.doc_ids)
            # Else this shard would stay in memory while the next one loads.
            del shard
    if k > passages:
        log.info("%d passages a query are asked for, and there are %d: all of them are ranked.", k, passages)
    short = sum(len(found.scores) < min(k, passages) for found in best)
    if short:
        log.warning("The index found fewer than %d passages for %d of %d queries.", min(k, passages), short, len(best))
    return (
        (query_id, list(zip(found.doc_ids.tolist(), found.scores.tolist(), strict=True)))
        for query_id, found in zip(query_ids, best, strict=True)
    )


def pair_scores(query: np.ndarray, passages: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Float32 inner products of a query (dimensions) with some rows of `passages` (passages x dimensions).

    Products of float32 numbers are exact in float64, and each row is a dot product on its own, so a pair's score does
    not depend on what else is scored with it. (`einsum` splits rows beyond 8,192 dimensions by position, BLAS a
    matrix by its shape, and a vector beyond 10,000 dimensions by its threads.) Memory is that of `CONVERT_ROWS` rows.
    """
    scores = np.empty(len(rows), np.float32)
    query = query.astype(np.float64)
    for start in range(0, len(rows), CONVERT_ROWS):
        some = passages[rows[start : start + CONVERT_ROWS]].astype(np.float64)
        scores[start : start + CONVERT_ROWS] = np.vecdot(some, query)
    # A negative zero would be printed as such; adding zero turns it into a plain one.
    return scores + np.float32(0)


def _search_shard(shard: Shard, queries: np.ndarray, best: list[_Best], k: int, workers: Workers) -> None:
    """Merge what the shard has for every query into `best`, in place.

    The products of a block of queries are computed at once; the rest is done query by query, so it does not matter by
    which thread.
    """
    _check_shard(shard, queries.shape[1])
    if not len(shard.doc_ids):
        return
    longest = _norms(shard.embeddings, shard.doc_ids, shard.source, "passage").max()
    spread = margins(queries, longest)
    doc_ids = np.array(shard.doc_ids, dtype=object)
    find = workers.finder(shard.embeddings) if flat_vectors(shard.index) is not None else None

    for start in range(0, len(queries), workers.query_block):
        some = np.arange(start, min(start + workers.query_block, len(queries)))
        if find is None:
            _, found = shard.index.search(queries[some], min(len(shard.doc_ids), k + SLACK))
            candidates = [rows[rows >= 0] for rows in found]
        else:
            floors = np.array([best[query].floor(k) for query in some])
            candidates = find(queries[some], k, floors, spread[some])

        def merge(part: np.ndarray, some=some, candidates=candidates) -> None:
            for query, rows in zip(some[part], candidates[part[0] : part[-1] + 1], strict=True):
                if len(rows):
                    scores = pair_scores(queries[query], shard.embeddings, rows)
                    best[query] = _merge(best[query], scores, doc_ids[rows], k)

        workers.share(merge, len(some))


def _merge(best: _Best, scores: np.ndarray, doc_ids: np.ndarray, k: int) -> _Best:
    """The `k` best of both, by score descending, then doc id ascending."""
    scores = np.concatenate([best.scores, scores])
    doc_ids = np.concatenate([best.doc_ids, doc_ids])
    order = np.argsort(-scores, kind="stable")
    if len(order) > k:
        order = order[: np.searchsorted(-scores[order], -scores[order[k - 1]], side="right")]
    scores, doc_ids = scores[order], doc_ids[order]
    tied = np.concatenate([[False], scores[1:] == scores[:-1], [False]])
    # Where a run of equal scores begins, and where it ends.
    starts, stops = np.flatnonzero(tied[1:] & ~tied[:-1]), np.flatnonzero(tied[:-1] & ~tied[1:]) + 1
    for start, stop in zip(starts, stops, strict=True):
        doc_ids[start:stop] = sorted(doc_ids[start:stop])
    # Copies, so that no view keeps a longer array alive.
    return _Best(scores[:k].copy(), doc_ids[:k].copy())


def _norms(vectors: np.ndarray, ids: Sequence[str], source: str, kind: str) -> np.ndarray:
    """Euclidean norms of the rows, float32; raises `BackfireError` when one is not finite."""
    norms = np.sqrt(np.vecdot(vectors, vectors))
    bad = np.flatnonzero(~np.isfinite(norms))
    if len(bad):
        raise BackfireError(
            f"{source}: the embedding of {kind} '{ids[int(bad[0])]}' is not finite ({len(bad)} such).",
            "the model diverged in training or half precision overflowed; look at the dynamics, or set "
            "encoding.precision to fp32.",
        )
    return norms


def _check_shard(shard: Shard, dimensions: int) -> None:
    """Raise `BackfireError` unless ids, embeddings, index and queries fit each other."""
    found = (len(shard.doc_ids), shard.embeddings.shape[1])
    if found[1] != dimensions:
        raise BackfireError(
            f"{shard.source}: passages have {found[1]} dimensions, queries {dimensions}.",
            "passages and queries were encoded by different models; delete both embeddings and run again.",
        )
    if (shard.index.ntotal, shard.index.d) != found or len(shard.embeddings) != found[0]:
        raise BackfireError(
            f"{shard.source}: {found[0]} ids and {len(shard.embeddings)} vectors of {found[1]} dimensions, but the "
            f"index holds {shard.index.ntotal} of {shard.index.d}.",
            "the index was built from other embeddings; delete it and run again.",
        )
