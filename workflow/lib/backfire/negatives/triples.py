"""Sampling triples (query, relevant passage, negative) from candidates or from the whole corpus.

Every choice is keyed by (seed, query id), so it does not change with the order of queries, the number of shards or
what other queries there are.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from backfire.datasets.text import normalised
from backfire.errors import BackfireError
from backfire.formats.tables import iterate_rows, read_embeddings, read_rows, write_rows
from backfire.keyed import key
from backfire.texts import texts_by_id

logger = logging.getLogger(__name__)

Draw = tuple[str, int | None]
"""A negative: its doc id, and its rank in the candidate list it was drawn from."""


def sample_triples(
    source: str,
    candidates: str | None,
    qrels: str,
    corpus: list[str],
    query_embeddings: str,
    embeddings: list[str],
    size: int,
    seed: int,
    output: str,
) -> None:
    """Write `size` triples with negatives from `source` (random, bm25, hard), and the base's cosine of each negative.

    `candidates` is the table of a mined source, None for random, which draws from the whole corpus.
    Queries are taken in the order of their keys, once each before any is taken again; a query's r-th triple has the
    r-th of its negatives in the order of their keys. No judged passage of a query is its negative, nor one with the
    same normalised text as a relevant passage. Raises `BackfireError` when there are fewer negatives than that.
    """
    if (candidates is None) != (source == "random"):
        raise ValueError(f"negatives from {source} with candidates {candidates}")
    relevant, judged = _judgments(qrels)
    draws = _uniform(corpus, seed) if candidates is None else _listed(candidates, seed)
    duplicates: set[tuple[str, str]] = set()
    while True:
        triples = _sample(relevant, judged, draws, duplicates, size, seed)
        found = _duplicates(triples, relevant, corpus)
        if not found:
            break
        logger.info("%d drawn negatives have the text of a relevant passage; drawing again", len(found))
        duplicates |= found
    if len(triples) < size:
        raise BackfireError(
            f"triples: {size} asked for, but the {len(relevant)} training queries give only {len(triples)} with "
            f"negatives from {source}.",
            "lower size, or raise depth.",
        )
    scores = _cosines(triples, query_embeddings, embeddings)
    columns = ("query_id", "positive_id", "negative_id", "rank", "base_score")
    write_rows(
        output,
        "triples",
        [
            {**dict(zip(columns, (*triple, score), strict=True)), "source": source}
            for triple, score in zip(triples, scores, strict=True)
        ],
    )


def _judgments(qrels: str) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Relevant passages, and all judged ones, of every query that has a relevant one."""
    relevant, judged = defaultdict(list), defaultdict(set)
    for row in read_rows(qrels, "qrels").to_pylist():
        judged[row["query_id"]].add(row["doc_id"])
        if row["relevance"] > 0:
            relevant[row["query_id"]].append(row["doc_id"])
    return {query_id: sorted(doc_ids) for query_id, doc_ids in relevant.items()}, judged


def _listed(candidates: str, seed: int) -> Callable[[str], Iterator[Draw]]:
    """Draws from a candidate table without replacement, in the order of the candidates' keys."""
    lists: dict[str, list[Draw]] = defaultdict(list)
    for batch in iterate_rows(candidates, "candidates"):
        columns = (batch[name].to_pylist() for name in ("query_id", "doc_id", "rank"))
        for query_id, doc_id, rank in zip(*columns, strict=True):
            lists[query_id].append((doc_id, rank))
    return lambda query_id: iter(sorted(lists[query_id], key=lambda draw: (key(seed, query_id, draw[0]), draw[0])))


def _uniform(corpus: list[str], seed: int) -> Callable[[str], Iterator[Draw]]:
    """Draws from the whole corpus without replacement, uniform by rejection."""
    batches = [batch["doc_id"] for path in corpus for batch in iterate_rows(path, "corpus")]
    doc_ids = pa.chunked_array(batches)

    def draws(query_id: str) -> Iterator[Draw]:
        seen: set[int] = set()
        attempt = 0
        while len(seen) < len(doc_ids):
            row = key(seed, query_id, attempt) % len(doc_ids)
            attempt += 1
            if row not in seen:
                seen.add(row)
                yield doc_ids[row].as_py(), None

    return draws


def _sample(relevant, judged, draws, duplicates, size, seed) -> list[tuple[str, str, str, int | None]]:
    """Up to `size` tuples (query, positive, negative, rank)."""
    order = sorted(relevant, key=lambda query_id: (key(seed, query_id), query_id))
    remaining = {}
    triples = []
    while order and len(triples) < size:
        exhausted = set()
        for query_id in order[: size - len(triples)]:
            if query_id not in remaining:
                remaining[query_id] = (
                    draw
                    for draw in draws(query_id)
                    if draw[0] not in judged[query_id] and (query_id, draw[0]) not in duplicates
                )
            draw = next(remaining[query_id], None)
            if draw is None:
                exhausted.add(query_id)
                continue
            positives = relevant[query_id]
            positive = positives[key(seed, query_id, "positive", draw[0]) % len(positives)]
            triples.append((query_id, positive, *draw))
        order = [query_id for query_id in order if query_id not in exhausted]
    return triples


def _duplicates(triples, relevant, corpus: list[str]) -> set[tuple[str, str]]:
    """The (query, negative) pairs whose passage reads like one that is relevant to the query."""
    ids = {triple[2] for triple in triples} | {doc_id for triple in triples for doc_id in relevant[triple[0]]}
    texts = {doc_id: normalised(text) for doc_id, text in texts_by_id(corpus, "corpus", ids).items()}
    return {
        (query_id, negative)
        for query_id, _, negative, _ in triples
        if texts[negative] in {texts[doc_id] for doc_id in relevant[query_id]}
    }


def _cosines(triples, query_embeddings: str, embeddings: list[str]) -> np.ndarray:
    """Cosine of each triple's query and negative, float32 of shape (triples,)."""
    query_ids, matrix = read_embeddings(query_embeddings, "query_id")
    query_rows = {query_id: row for row, query_id in enumerate(query_ids)}
    wanted = defaultdict(list)
    for position, triple in enumerate(triples):
        wanted[triple[2]].append(position)
    scores = np.full(len(triples), np.nan, dtype=np.float32)
    for path in embeddings:
        doc_ids, passages = read_embeddings(path, "doc_id")
        for row, doc_id in enumerate(doc_ids):
            for position in wanted.get(doc_id, ()):
                query = matrix[query_rows[triples[position][0]]]
                scores[position] = np.dot(query.astype(np.float64), passages[row].astype(np.float64))
    return scores
