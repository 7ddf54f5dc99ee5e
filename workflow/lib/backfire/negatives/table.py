"""The table of triples, with the base's cosine of each query and negative."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.encoders.similarity import similarities
from backfire.errors import BackfireError
from backfire.formats.embeddings import extended, read_embeddings
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import write_batches

# Rows of a row group.
WRITTEN = 1 << 18


def write_triples(
    output: str,
    source: str,
    queries: pa.Array,
    positives: pa.Array,
    negatives: pa.Array,
    ranks: pa.Array | np.ndarray | None,
    query_embeddings: str,
    embeddings: list[str],
    negatives_per_query: int = 1,
) -> None:
    """Write triples of ids in their order; `ranks` are the negatives' in their candidate lists, None without lists.

    As many rows one after another as there are `negatives_per_query` are an example, of one query and one positive.

    Cosines come from the query embeddings and the passages' `embeddings`, one shard in memory at a time. Raises
    `BackfireError` when one of them lacks a query or a negative.
    """
    scores = base_scores(queries, negatives, query_embeddings, embeddings)

    def batches():
        for start in range(0, len(scores), WRITTEN):
            some = slice(start, start + WRITTEN)
            count = len(scores[some])
            of_rank = pa.nulls(count, pa.int32()) if ranks is None else pa.array(ranks[some], pa.int32())
            ids = [queries[some], positives[some], negatives[some]]
            example = np.arange(start, start + count, dtype=np.int32) // negatives_per_query
            columns = [example, *ids, pa.repeat(source, count), of_rank, scores[some]]
            yield pa.table(columns, schema=SCHEMAS["triples"])

    write_batches(output, "triples", batches())


def base_scores(queries: pa.Array, passages: pa.Array, query_embeddings: str, embeddings: list[str]) -> np.ndarray:
    """The base's similarity of each query and passage, float32 of shape (pairs,), one shard in memory at a time.

    Of a model for Euclidean distances it is minus the distance, as sentence-transformers has it.

    Raises `BackfireError` when an embedding is missing.
    """
    query_ids, matrix = read_embeddings(query_embeddings, "query_id")
    asked = pc.index_in(queries, value_set=pa.array(query_ids, pa.string())).fill_null(-1).to_numpy()
    scores = np.full(len(asked), np.nan, dtype=np.float32)
    encoded = passages.dictionary_encode()
    codes = encoded.indices.to_numpy()
    for path in embeddings:
        doc_ids, vectors = read_embeddings(path, "doc_id")
        row_of = pc.index_in(encoded.dictionary, value_set=pa.array(doc_ids, pa.string())).fill_null(-1).to_numpy()
        rows = row_of[codes]
        for position in np.flatnonzero((rows >= 0) & (asked >= 0)):
            query, passage = matrix[asked[position]], vectors[rows[position]]
            scores[position] = np.dot(query.astype(np.float64), passage.astype(np.float64))
        del doc_ids, vectors
    if extended(query_embeddings):
        scores[:] = similarities(scores, matrix[asked])
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        first = int(missing[0])
        raise BackfireError(
            f"{query_embeddings}: the query '{queries[first]}' or its passage '{passages[first]}' has no embedding "
            f"({len(missing)} such pairs).",
            "the embeddings belong to other data; delete them and run again.",
        )
    return scores
