"""Exact top-k search over the shards of a corpus.

FAISS proposes candidates shard by shard; each (query, passage) pair is then scored again in float64 in a fixed order
of summation and rounded to float32. Passages are ordered by that score, descending, then by doc id, ascending. So
over Flat indexes a ranking depends on the vectors alone: not on the number of shards, the threads or FAISS's choice
among ties.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.index import read_index
from backfire.formats.tables import read_embeddings
from backfire.formats.trec import Ranking, write_run
from backfire.logs import progress

log = logging.getLogger(__name__)

QUERY_BLOCK = 1024
# Candidates asked of an index beyond k, so that near-ties at the cut seldom need a second pass.
SLACK = 64
# Upper bounds on temporary arrays: scores in a block; passages that are converted to float64 together.
SCORES_AT_ONCE = 1 << 24
CONVERT_ROWS = 4096


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


def rank(
    queries: str | Path,
    embeddings: Sequence[str | Path],
    indexes: Sequence[str | Path],
    depth: int,
    tag: str,
    output: str | Path,
    label: str = "rank",
) -> None:
    """Write the TREC run of the query embeddings in `queries` over a corpus to `output`, `depth` passages per query.

    `embeddings` and `indexes` name the files of the corpus's shards, in the same order. One shard is in memory at a
    time. `tag` goes into the last column, `label` into the lines that tell progress. Raises `BackfireError` as
    `search` does.
    """
    query_ids, matrix = read_embeddings(queries, "query_id")
    write_run(output, search(query_ids, matrix, stored_shards(embeddings, indexes, label), depth), tag)


def stored_shards(
    embeddings: Sequence[str | Path], indexes: Sequence[str | Path], label: str = "search"
) -> Iterator[Shard]:
    """Load the shards of a corpus one after another; a shard is freed once the caller drops it."""
    with progress(label, total=len(embeddings), unit="shard") as bar:
        for vectors, index in zip(embeddings, indexes, strict=True):
            yield Shard(*read_embeddings(vectors, "doc_id"), index=read_index(index), source=str(vectors))
            bar.update(1)


def search(
    query_ids: Sequence[str],
    queries: np.ndarray,
    shards: Iterable[Shard],
    k: int,
    query_block: int = QUERY_BLOCK,
    setting: str | None = "ranking.depth",
) -> Iterator[tuple[str, Ranking]]:
    """Rank the passages of all `shards` for `queries` (float32, queries x dimensions) by inner product.

    Gives (query_id, the `k` best as (doc_id, score)) in the order of `query_ids`. Over Flat indexes the result is
    exact and the same for any number of shards, even where all scores tie; over others the candidates are what the
    index finds, k + SLACK per shard, and a ranking may be shorter than k. Memory is bounded by a shard and
    queries x k, provided that `shards` loads lazily.

    Raises `BackfireError` when the corpus has fewer than `k` passages (`setting` is the configuration key that k
    comes from; None takes all passages then), when dimensions differ, or when a vector is not finite.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if k < 1 or queries.ndim != 2 or len(query_ids) != len(queries):
        raise ValueError(f"k {k}, {len(query_ids)} query ids, query matrix {queries.shape}")
    _norms(queries, query_ids, "queries", "query")
    best = [_Best(np.empty(0, np.float32), np.empty(0, object))] * len(queries)
    passages = 0
    for shard in shards:
        _search_shard(shard, queries, best, k, query_block)
        passages += len(shard.doc_ids)
        # Else this shard would stay in memory while the next one loads.
        del shard
    if k > passages and setting is not None:
        raise BackfireError(
            f"{setting}: {k} passages are asked for per query, but the corpus has {passages}.",
            f"set {setting} to at most {passages}.",
        )
    short = sum(len(found.scores) < min(k, passages) for found in best)
    if short:
        log.warning("The index found fewer than %d passages for %d of %d queries.", min(k, passages), short, len(best))
    return (
        (query_id, list(zip(found.doc_ids.tolist(), found.scores.tolist(), strict=True)))
        for query_id, found in zip(query_ids, best, strict=True)
    )


def pair_scores(query: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Float32 inner products of a query (dimensions) with passages (passages x dimensions).

    Products of float32 numbers are exact in float64, and each row is summed pairwise on its own, so a pair's score
    does not depend on what else is scored with it. (`einsum` splits rows beyond 8,192 dimensions by position, and
    BLAS by shape.)
    """
    scores = np.empty(len(passages), np.float32)
    query = query.astype(np.float64)
    for start in range(0, len(passages), CONVERT_ROWS):
        products = passages[start : start + CONVERT_ROWS].astype(np.float64)
        products *= query
        scores[start : start + CONVERT_ROWS] = products.sum(axis=1)
    # A negative zero would be printed as such; adding zero turns it into a plain one.
    return scores + np.float32(0)


def _search_shard(shard: Shard, queries: np.ndarray, best: list[_Best], k: int, query_block: int) -> None:
    """Merge what the shard has for each query into `best`, in place."""
    import faiss

    _check_shard(shard, queries.shape[1])
    if not len(shard.doc_ids):
        return
    longest = _norms(shard.embeddings, shard.doc_ids, shard.source, "passage").max()
    doc_ids = np.array(shard.doc_ids, dtype=object)
    for start in range(0, len(queries), query_block):
        block = queries[start : start + query_block]
        if isinstance(shard.index, faiss.IndexFlat):
            rows = slice(start, start + len(block))
            floor = np.array([b.scores[-1] if len(b.scores) == k else -np.inf for b in best[rows]])
            candidates = _exact_candidates(shard, block, k, floor, longest)
        else:
            _, found = shard.index.search(block, min(len(doc_ids), k + SLACK))
            candidates = [row[row >= 0] for row in found]
        for offset, chosen in enumerate(candidates):
            if not len(chosen):
                continue
            scores = pair_scores(block[offset], shard.embeddings[chosen])
            best[start + offset] = _merge(best[start + offset], scores, doc_ids[chosen], k)


def _exact_candidates(shard: Shard, queries: np.ndarray, k: int, floor: np.ndarray, longest: float) -> list[np.ndarray]:
    """Rows of every passage of a Flat shard that can be among a query's `k` best, for each query.

    `floor` holds the k-th best score of each query so far (-inf while there are fewer), `longest` the largest norm
    of a passage. A float32 inner product over d dimensions is off by at most about d * 2^-24 * |q| * |p|, in any
    order of summation (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). So whatever scores
    lower than the k-th by more than twice that, and a rounding of the final score, cannot enter the ranking.
    """
    size, dimensions = shard.embeddings.shape
    count = min(size, k + SLACK)
    scores, rows = shard.index.search(queries, count)
    largest = np.linalg.norm(queries, axis=1).astype(np.float64) * longest
    threshold = np.maximum(floor, scores[:, k - 1]) if size >= k else floor
    lowest = threshold - (dimensions + 4) * 2.0**-23 * largest
    candidates = [row[score >= low] for row, score, low in zip(rows, scores, lowest, strict=True)]
    if count < size:
        # The index was cut among passages that may still enter.
        unsafe = np.flatnonzero(scores[:, -1] >= lowest)
        step = max(1, SCORES_AT_ONCE // size)
        for some in (unsafe[start : start + step] for start in range(0, len(unsafe), step)):
            for query, row in zip(some, _double_scores(queries[some], shard.embeddings), strict=True):
                # Errors vanish in double precision: what is left is the rounding of the final score.
                threshold = max(floor[query], np.partition(row, size - k)[size - k])
                candidates[query] = np.flatnonzero(row >= threshold - 2.0**-22 * largest[query])
    return candidates


def _double_scores(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Float64 inner products, queries x passages, the passages converted a piece at a time."""
    queries = queries.astype(np.float64)
    scores = np.empty((len(queries), len(passages)))
    for start in range(0, len(passages), CONVERT_ROWS):
        piece = passages[start : start + CONVERT_ROWS].astype(np.float64)
        np.matmul(queries, piece.T, out=scores[:, start : start + CONVERT_ROWS])
    return scores


def _merge(best: _Best, scores: np.ndarray, doc_ids: np.ndarray, k: int) -> _Best:
    """The `k` best of both, by score descending, then doc id ascending."""
    scores = np.concatenate([best.scores, scores])
    doc_ids = np.concatenate([best.doc_ids, doc_ids])
    order = np.argsort(-scores, kind="stable")
    if len(order) > k:
        order = order[: np.searchsorted(-scores[order], -scores[order[k - 1]], side="right")]
    scores, doc_ids = scores[order], doc_ids[order]
    bounds = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1], [True]])) if len(scores) else []
    for start, stop in pairwise(bounds):
        if stop - start > 1:
            doc_ids[start:stop] = sorted(doc_ids[start:stop])
    # Copies, so that no view keeps a longer array alive.
    return _Best(scores[:k].copy(), doc_ids[:k].copy())


def _norms(vectors: np.ndarray, ids: Sequence[str], source: str, kind: str) -> np.ndarray:
    """Euclidean norms of the rows, float64; raises `BackfireError` when one is not finite."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
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
