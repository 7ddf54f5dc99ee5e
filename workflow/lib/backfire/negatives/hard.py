"""Hard candidates: the passages that the base model itself ranks highest."""

from collections.abc import Iterable, Iterator
from itertools import islice

from backfire.formats.tables import read_embeddings, write_batches
from backfire.search import search, stored_shards

QUERY_BLOCK = 1024


def mine_hard(queries: str, embeddings: list[str], indexes: list[str], depth: int, output: str) -> None:
    """Write the `depth` passages nearest to every query by inner product, found by exact search.

    `queries`, `embeddings` and `indexes` are the base's query embeddings, passage shards and their indexes. Raises
    `BackfireError` when the corpus has fewer than `depth` passages.
    """
    query_ids, matrix = read_embeddings(queries, "query_id")
    rankings = search(query_ids, matrix, stored_shards(embeddings, indexes), depth, setting="the triple set's depth")
    write_batches(output, "candidates", _blocks(rankings))


def _blocks(rankings: Iterable) -> Iterator[list[dict]]:
    rankings = iter(rankings)
    while block := list(islice(rankings, QUERY_BLOCK)):
        yield [
            {"query_id": query_id, "doc_id": doc_id, "rank": rank, "score": score}
            for query_id, ranking in block
            for rank, (doc_id, score) in enumerate(ranking, start=1)
        ]
