"""Hard candidates: the passages that the base model itself ranks highest."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from backfire.encoders.device import pick_gpu
from backfire.encoders.similarity import similarities
from backfire.formats.embeddings import extended, iterate_embeddings
from backfire.formats.tables import write_batches
from backfire.retrieval.candidates import HELD, WRITTEN, candidate_table
from backfire.retrieval.search import search, stored_shards


def mine_hard(
    queries: str,
    embeddings: list[str],
    indexes: list[str],
    depth: int,
    output: str,
    threads: int = 1,
    label: str | None = None,
) -> None:
    """Write the `depth` passages nearest to every query by inner product, or all where there are fewer.

    `queries` are the base's query embeddings, `embeddings` and `indexes` the passages of one part of the corpus, a
    shard per file; the search over Flat indexes is exact, on a GPU where there is one. Memory holds one block of
    queries, one shard and `HELD` candidates: shards are read once for each block of `HELD / depth` queries. Order:
    score descending, then doc id. Of a base for Euclidean distances the score is minus the distance.
    """
    device = pick_gpu()

    def batches() -> Iterator[pa.Table]:
        for query_ids, matrix in iterate_embeddings(queries, "query_id", max(1, HELD // depth)):
            shards = stored_shards(embeddings, indexes, label)
            rankings = search(query_ids, matrix, shards, depth, threads, device=device)
            yield from _tables(_distances(rankings, matrix) if extended(queries) else rankings)

    write_batches(output, "candidates", batches())


def _distances(rankings, queries: np.ndarray):
    """The rankings of those queries, in their order, with minus the Euclidean distance as score."""
    for (query_id, ranking), query in zip(rankings, queries, strict=True):
        products = np.array([score for _, score in ranking])
        scores = similarities(products, np.broadcast_to(query, (len(products), len(query))))
        yield query_id, [(doc_id, score) for (doc_id, _), score in zip(ranking, scores.tolist(), strict=True)]


def _tables(rankings) -> Iterator[pa.Table]:
    query_ids, lengths, doc_ids, scores = [], [], [], []
    for query_id, ranking in rankings:
        query_ids.append(query_id)
        lengths.append(len(ranking))
        doc_ids.extend(doc_id for doc_id, _ in ranking)
        scores.extend(score for _, score in ranking)
        if len(doc_ids) >= WRITTEN:
            yield candidate_table(pa.array(query_ids, pa.string()), lengths, doc_ids, scores)
            query_ids, lengths, doc_ids, scores = [], [], [], []
    if query_ids:
        yield candidate_table(pa.array(query_ids, pa.string()), lengths, doc_ids, scores)
