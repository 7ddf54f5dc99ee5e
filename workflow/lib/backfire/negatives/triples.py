"""Sampling examples (query, relevant passage, negatives) from candidates or from the whole corpus.

Every choice is keyed by (seed, query id), so it does not change with the order of queries, the number of shards or
what other queries there are.
"""

import heapq
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.datasets.passages import texts_of
from backfire.datasets.text import normalised
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.tables import iterate_rows
from backfire.keyed import key
from backfire.negatives.filters import Draw, Filter
from backfire.negatives.itself import Itself
from backfire.negatives.table import write_triples

logger = logging.getLogger(__name__)

# Draws kept of each query beyond those that it gives, should some have the text of a relevant passage.
SPARE = 2

# Sources that no search finds.
UNSEARCHED = ("random", "judged")

Barred = Callable[[str, str], bool]
"""Whether a passage, by the ids of query and passage, can be no negative of that query."""


def sample_triples(
    source: str,
    candidates: str | None,
    queries: str,
    qrels: str,
    corpus: list[str],
    query_embeddings: str,
    embeddings: list[str],
    size: int | None,
    seed: int,
    output: str,
    relevant_from: int = 1,
    ranks: list[int] | None = None,
    negatives_per_query: int = 1,
    filter: dict[str, float] | None = None,
    manifest: str | None = None,
) -> None:
    """Write `size` examples of so many negatives each from `source`, and the base's cosine of each negative.

    `candidates` is the table of a mined source (bm25, hard), None for random, which draws from the whole corpus, and
    for judged, which draws from the passages that `qrels` judge not relevant; `ranks` the first and the last rank in
    it that a negative may have, None for any.
    Queries are taken in the order of their keys, once each before any is taken again; a query's first example has the
    first of its negatives in the order of their keys, its second one those that follow, and none has fewer than the
    others. Positives are passages of grade `relevant_from` or more. Passages of a lower grade above 0 are neither
    positive nor negative; those judged not relevant (0 or less) may be negatives. No negative has the same normalised
    text as a passage of a grade above 0, is the query itself (see `Itself`), whose text is in the table `queries`, or
    is one that `filter` drops (see `Filter`). Without `size` every query that has negatives enough gives one example.
    Counts go to `manifest`: queries, those without an example, and of a filter how many negatives were looked at, which
    are all candidates of hard and the first draws of other sources, and how many were dropped. Raises `BackfireError`
    when there are fewer examples than asked for.

    Memory holds the judgments, the first few draws of every query and 8 bytes for the text of each passage that is
    drawn or relevant. Candidates, texts and embeddings pass through.
    """
    if (candidates is None) != (source in UNSEARCHED):
        raise ValueError(f"negatives from {source} with candidates {candidates}")
    relevant, spared = _judgments(qrels, relevant_from)
    if not relevant:
        raise BackfireError(
            f"triples: no training query has a passage of grade {relevant_from} or more.",
            "lower train in relevance of the collection that is trained on, or leave it out.",
        )
    barred = partial(_barred, spared, Itself(queries, corpus))
    order = sorted(relevant, key=lambda query_id: (key(seed, query_id), query_id))
    each = negatives_per_query
    keep = each * (1 if size is None else -(-size // len(order))) + SPARE
    sieve = Filter.of(filter, relevant, query_embeddings, embeddings) if filter else None
    # The base's own candidates carry its scores, so all of them are looked at while they pass.
    listed = partial(_listed, candidates, ranks, sieve if source == "hard" else None)
    drawn = {"random": partial(_uniform, corpus), "judged": partial(_judged, qrels)}.get(source, listed)
    draws, cut, wanting = {}, set(), order
    while True:
        again = {}
        cut.difference_update(wanting)
        # One more than is kept tells whether there are more.
        for query_id, found in drawn(wanting, barred, seed, keep + 1):
            again[query_id] = found[:keep]
            if len(found) > keep:
                cut.add(query_id)
        _drop_duplicates(again, spared, corpus)
        if sieve and source != "hard":
            sieve.drop(again, query_embeddings, embeddings)
        draws |= again
        counts = np.array([len(draws.get(query_id, ())) // each for query_id in order])
        rounds = 1 if size is None else _rounds(counts, size)
        wanting = [
            query_id for query_id, count in zip(order, counts, strict=True) if count < rounds and query_id in cut
        ]
        if not wanting:
            break
        keep = max(2 * keep, each * rounds + SPARE)
        logger.info("%d queries have no draw left; drawing again, %d of each", len(wanting), keep)
    lacking = int((counts == 0).sum())
    found = {"queries": len(order), "without an example": lacking} | (sieve.counts() if sieve else {})
    if sieve:
        logger.info("of %d negatives looked at, the filter dropped %s", found["looked at"], found["dropped"])
    # One example at least, so that none at all is an error too.
    asked, given = size or 1, int(np.minimum(counts, rounds).sum())
    if given < asked:
        several = f" examples of {each} negatives" if each > 1 else ""
        fewer = f"; {lacking} of them have fewer than {each}" if each > 1 else ""
        raise BackfireError(
            f"triples: {asked}{several} asked for, but the {len(order)} training queries give only {given} with "
            f"negatives from {source}{fewer}.",
            _hint(given, source, ranks, each, found.get("dropped")),
        )
    if lacking:
        logger.warning(
            "%d of %d training queries have fewer than %d negative(s); they give no example", lacking, len(order), each
        )
    *ids, ranks = zip(*_chosen(draws, order, relevant, seed, each, rounds, size), strict=True)
    del draws, relevant, spared, order, barred
    ids = [pa.array(column, pa.string()) for column in ids]
    ranks = None if candidates is None else np.array(ranks, np.int32)
    write_triples(output, source, *ids, ranks, query_embeddings, embeddings, each)
    if manifest:
        settings = {"negatives": source, "seed": seed, "size": size, "negatives_per_query": each, "filter": filter}
        write_json(manifest, settings | found | {"examples": len(ids[0]) // each})


def _chosen(
    draws: dict[str, list[Draw]],
    order: list[str],
    relevant: dict[str, list[str]],
    seed: int,
    each: int,
    rounds: int,
    size: int | None,
) -> Iterator[tuple[str, str, str, int | None]]:
    """Query, positive, negative and its rank of every row: `size` examples of `each` rows, in their order."""
    found = (
        (query_id, draws[query_id][number * each : (number + 1) * each])
        for number in range(rounds)
        for query_id in order
        if len(draws.get(query_id, ())) >= (number + 1) * each
    )
    for query_id, negatives in islice(found, size):
        positive = _positive(relevant[query_id], seed, query_id, negatives[0][0])
        yield from ((query_id, positive, *draw) for draw in negatives)


def _hint(given: int, source: str, ranks: list[int] | None, each: int, dropped: dict[str, int] | None) -> str:
    listed = source not in UNSEARCHED
    if source == "judged" and not given and each == 1 and not dropped:
        return "no passage is judged not relevant (grade 0) to a training query: draw with random, bm25 or hard."
    ways = [f"{'widen ranks' if ranks else 'raise depth'}, and a query has more candidates"] if listed else []
    ways = ["lower negatives_per_query", *ways] if each > 1 else ways
    if dropped:
        ways = [f"loosen filter, which dropped {', '.join(f'{n} by {name}' for name, n in dropped.items())}", *ways]
    if given:
        unit = "triple" if each == 1 else "example"
        ways = [f"lower size to {given} or less, or set it to null for one {unit} of each query", *ways]
    return f"{'; or '.join(ways) or 'every passage answers every query: train on a larger collection'}."


def _graded(qrels: str) -> Iterator[tuple[str, str, int]]:
    """Query, passage and grade of each judgment."""
    for batch in iterate_rows(qrels, "qrels"):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _judgments(qrels: str, relevant_from: int) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Positives of every query that has one, and all its passages of a grade above 0, which are no negatives."""
    relevant, spared = defaultdict(list), defaultdict(set)
    for query_id, doc_id, relevance in _graded(qrels):
        if relevance > 0:
            spared[query_id].add(doc_id)
        if relevance >= relevant_from:
            relevant[query_id].append(doc_id)
    if len(relevant) < len(spared):
        logger.warning(
            "%d of %d training queries have no passage of grade %d or more; they give no triple",
            len(spared) - len(relevant),
            len(spared),
            relevant_from,
        )
    relevant = {query_id: sorted(doc_ids) for query_id, doc_ids in relevant.items()}
    return relevant, {query_id: spared[query_id] for query_id in relevant}


def _barred(spared: dict[str, set[str]], itself: Itself, query_id: str, doc_id: str) -> bool:
    return doc_id in spared[query_id] or itself(query_id, doc_id)


def _positive(relevant: list[str], seed: int, query_id: str, negative: str) -> str:
    return relevant[key(seed, query_id, "positive", negative) % len(relevant)]


def _judged(
    qrels: str, query_ids: list[str], barred: Barred, seed: int, count: int
) -> Iterator[tuple[str, list[Draw]]]:
    """The first `count` draws of each query from the passages that are judged not relevant to it."""
    found = defaultdict(list)
    for query_id, doc_id, relevance in _graded(qrels):
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
