"""Draws of negatives: where each source has them from, and as many as the examples that are asked for take.

Every choice is keyed by (seed, query id), so it does not change with the order of queries, the number of shards or
what other queries there are.
"""

import heapq
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.datasets.passages import texts_of
from backfire.datasets.text import normalised
from backfire.formats.tables import iterate_rows
from backfire.keyed import key
from backfire.negatives.filters import Draw, Filter

logger = logging.getLogger(__name__)

# Draws kept of each query beyond those that it gives, should some have the text of a relevant passage.
SPARE = 2

# Sources that no search finds.
UNSEARCHED = ("random", "judged")

Barred = Callable[[str, str], bool]
"""Whether a passage, by the ids of query and passage, can be no negative of that query."""


@dataclass(frozen=True)
class Drawn:
    """Draws of the queries of `order`; `counts` are the examples that each can give, once each in every round."""

    order: list[str]
    draws: dict[str, list[Draw]]
    counts: np.ndarray
    rounds: int

    @property
    def given(self) -> int:
        """Examples that there are in these rounds."""
        return int(np.minimum(self.counts, self.rounds).sum())

    @property
    def lacking(self) -> int:
        """Queries that give none."""
        return int((self.counts == 0).sum())


@dataclass(frozen=True)
class Source:
    """Where negatives come from.

    `candidates` is the table of a searched source, with the `ranks` that count; `qrels` and `corpus` are those of the
    training queries. `barred` and `spared` say which passages are no negatives of a query, by id and by their text,
    `sieve` which are dropped by their score with the base, from its vectors `query_embeddings` and `embeddings`.
    """

    name: str
    candidates: str | None
    ranks: list[int] | None
    qrels: str
    corpus: list[str]
    barred: Barred
    spared: dict[str, set[str]]
    sieve: Filter | None
    query_embeddings: str
    embeddings: list[str]

    def drawn(self, order: list[str], size: int | None, each: int, seed: int) -> Drawn:
        """Draws for `size` examples of `each` negatives, None for one of each query; fewer where there are no more."""
        source = self._source()
        keep = each * (1 if size is None else -(-size // len(order))) + SPARE
        draws: dict[str, list[Draw]] = {}
        cut: set[str] = set()
        wanting = order
        while True:
            again = {}
            cut.difference_update(wanting)
            # One more than is kept tells whether there are more.
            for query_id, found in source(wanting, self.barred, seed, keep + 1):
                again[query_id] = found[:keep]
                if len(found) > keep:
                    cut.add(query_id)
            _drop_duplicates(again, self.spared, self.corpus)
            if self.sieve and self.name != "hard":
                self.sieve.drop(again, self.query_embeddings, self.embeddings)
            draws |= again
            counts = np.array([len(draws.get(query_id, ())) // each for query_id in order])
            rounds = 1 if size is None else _rounds(counts, size)
            wanting = [
                query_id for query_id, count in zip(order, counts, strict=True) if count < rounds and query_id in cut
            ]
            if not wanting:
                return Drawn(order, draws, counts, rounds)
            keep = max(2 * keep, each * rounds + SPARE)
            logger.info("%d queries have no draw left; drawing again, %d of each", len(wanting), keep)

    def _source(self) -> Callable[[list[str], Barred, int, int], Iterator[tuple[str, list[Draw]]]]:
        if self.name == "random":
            return partial(_uniform, self.corpus)
        if self.name == "judged":
            return partial(_judged, self.qrels)
        # The base's own candidates carry its scores, so all of them are looked at while they pass.
        return partial(_listed, self.candidates, self.ranks, self.sieve if self.name == "hard" else None)


def graded(qrels: str) -> Iterator[tuple[str, str, int]]:
    """Query, passage and grade of each judgment."""
    for batch in iterate_rows(qrels, "qrels"):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _judged(
    qrels: str, query_ids: list[str], barred: Barred, seed: int, count: int
) -> Iterator[tuple[str, list[Draw]]]:
    """The first `count` draws of each query from the passages that are judged not relevant to it."""
    found = defaultdict(list)
    for query_id, doc_id, relevance in graded(qrels):
        if relevance <= 0 and not barred(query_id, doc_id):
            found[query_id].append((key(seed, query_id, doc_id), (doc_id, None)))
    for query_id in query_ids:
        yield query_id, [draw for _, draw in heapq.nsmallest(count, found[query_id])]


def _listed(
    candidates: str,
    ranks: list[int] | None,
    sieve: Filter | None,
    query_ids: list[str],
    barred: Barred,
    seed: int,
    count: int,
) -> Iterator[tuple[str, list[Draw]]]:
    """The first `count` draws of each query from its candidates, without replacement, in the order of their keys.

    With a `sieve`, of those alone that may stay by their score as candidates.
    """
    asked = set(query_ids)
    for query_id, found in _by_query(candidates):
        if query_id in asked:
            within = found if ranks is None else (draw for draw in found if ranks[0] <= draw[1] <= ranks[1])
            left = [(draw[:2], draw[2]) for draw in within if not barred(query_id, draw[0])]
            free, scores = [draw for draw, _ in left], (score for _, score in left)
            free = sieve.kept(query_id, free, scores) if sieve else free
            keyed = ((key(seed, query_id, draw[0]), draw) for draw in free)
            yield query_id, [draw for _, draw in heapq.nsmallest(count, keyed)]


def _by_query(candidates: str) -> Iterator[tuple[str, list[tuple[str, int, float]]]]:
    """Id, rank and score of the candidates of one query after another; they stand together in the table."""
    current, found = None, []
    for batch in iterate_rows(candidates, "candidates"):
        draws = list(zip(*(batch[name].to_pylist() for name in ("doc_id", "rank", "score")), strict=True))
        runs = pc.run_end_encode(batch["query_id"])
        start = 0
        for query_id, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            if query_id != current:
                if found:
                    yield current, found
                current, found = query_id, []
            found += draws[start:stop]
            start = stop
    if found:
        yield current, found


def _uniform(
    corpus: list[str], query_ids: list[str], barred: Barred, seed: int, count: int
) -> Iterator[tuple[str, list[Draw]]]:
    """The first `count` draws of each query from the whole corpus, without replacement, uniform by rejection."""
    doc_ids = pa.chunked_array([batch["doc_id"] for path in corpus for batch in iterate_rows(path, "corpus")])
    doc_ids = doc_ids.combine_chunks()

    def draws(query_id: str) -> Iterator[Draw]:
        seen: set[int] = set()
        attempt = 0
        while len(seen) < len(doc_ids):
            row = key(seed, query_id, attempt) % len(doc_ids)
            attempt += 1
            if row not in seen:
                seen.add(row)
                if not barred(query_id, doc_id := doc_ids[row].as_py()):
                    yield doc_id, None

    for query_id in query_ids:
        yield query_id, list(islice(draws(query_id), count))


def _rounds(counts: np.ndarray, size: int) -> int:
    """How often queries with so many draws have to be gone through for `size` triples; one more than the most when
    they do not suffice."""
    most = int(counts.max(initial=0))
    return next((rounds for rounds in range(1, most + 1) if np.minimum(counts, rounds).sum() >= size), most + 1)


def _drop_duplicates(draws: dict[str, list[Draw]], spared: dict[str, set[str]], corpus: list[str]) -> None:
    """Remove the draws whose passage reads like one that is no negative of the query."""
    ids = {draw[0] for found in draws.values() for draw in found}
    ids.update(doc_id for query_id in draws for doc_id in spared[query_id])
    texts = _text_keys(corpus, ids)
    for query_id, found in draws.items():
        answers = {texts[doc_id] for doc_id in spared[query_id]}
        draws[query_id] = [draw for draw in found if texts[draw[0]] not in answers]


def _text_keys(corpus: Iterable[str], ids: set[str]) -> dict[str, int]:
    """A 64-bit key of the normalised text of each of the passages."""
    return {
        doc_id: key(normalised(text))
        for some in texts_of(corpus, "corpus", ids)
        for doc_id, text in zip(*some, strict=True)
    }
