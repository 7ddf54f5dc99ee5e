"""Sampling examples (query, relevant passage, negatives) from candidates or from the whole corpus.

Every choice is keyed by (seed, query id), so it does not change with the order of queries, the number of shards or
what other queries there are.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from backfire.datasets.joining import collection_of
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.keyed import key
from backfire.negatives.draws import UNSEARCHED, Drawn, Source, graded
from backfire.negatives.filters import Filter
from backfire.negatives.itself import Itself
from backfire.negatives.table import write_triples

logger = logging.getLogger(__name__)


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
    shares: Mapping[str, float] | None = None,
    swapped: float = 0.0,
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
    With `shares`, of 1, each collection that is joined gives its share of the examples (see `datasets.joining`).
    In a share of `swapped` of the examples, by their keys, positive and first negative change places in the end.
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
    sieve = Filter.of(filter, relevant, query_embeddings, embeddings) if filter else None
    place = Source(source, candidates, ranks, qrels, corpus, barred, spared, sieve, query_embeddings, embeddings)
    order = sorted(relevant, key=lambda query_id: (key(seed, query_id), query_id))
    each = negatives_per_query
    parts = _parts(partial(place.drawn, each=each, seed=seed), order, size, shares or {})
    lacking = sum(part.drawn.lacking for part in parts)
    found = {"queries": len(order), "without an example": lacking} | (sieve.counts() if sieve else {})
    if sieve:
        logger.info("of %d negatives looked at, the filter dropped %s", found["looked at"], found["dropped"])
    _check_given(parts, size, source, ranks, each, found, shares or {})
    if lacking:
        logger.warning(
            "%d of %d training queries have fewer than %d negative(s); they give no example", lacking, len(order), each
        )
    rows = [row for part in parts for row in _chosen(part, relevant, seed, each)]
    rows, wrong = _swap(rows, each, seed, swapped)
    *ids, ranks = zip(*rows, strict=True)
    of = {part.name: part.asked for part in parts if part.name}
    del place, parts, relevant, spared, order, barred, rows
    ids = [pa.array(column, pa.string()) for column in ids]
    ranks = None if candidates is None else pa.array(ranks, pa.int32())
    write_triples(output, source, *ids, ranks, query_embeddings, embeddings, each)
    if manifest:
        settings = {"negatives": source, "seed": seed, "size": size, "negatives_per_query": each, "filter": filter}
        found |= {"examples": len(ids[0]) // each} | ({"swapped": wrong} if swapped else {})
        write_json(manifest, settings | found | ({"of": of} if of else {}))


@dataclass(frozen=True)
class _Part:
    """Of the draws of some queries, those of one collection where its share is set, the first `asked` examples."""

    name: str | None
    drawn: Drawn
    asked: int


def _parts(
    drawn: Callable[[list[str], int | None], Drawn], order: list[str], size: int | None, shares: Mapping[str, float]
) -> list[_Part]:
    """All queries, or those of each collection that has a share; `drawn` gives draws for a number of examples.

    Without `size` the collection that is short for its share gives one example of each query, and with it all others
    what their shares are to that one's.
    """
    if not shares:
        found = drawn(order, size)
        # One example at least, so that none at all is an error too.
        return [_Part(None, found, size or max(1, found.given))]
    own = {name: [query_id for query_id in order if collection_of(query_id) == name] for name in shares}
    if size is not None:
        sizes = _apportioned(size, shares)
        return [_Part(name, drawn(own[name], sizes[name]), sizes[name]) for name in shares]
    found = {name: drawn(own[name], None) for name in shares}
    most = min(each.given / shares[name] for name, each in found.items())
    # What is short gives all it has, whatever rounding makes of it.
    return [_Part(name, each, max(1, min(each.given, round(most * shares[name])))) for name, each in found.items()]


def _apportioned(size: int, shares: Mapping[str, float]) -> dict[str, int]:
    """So many examples for each share that they sum to `size`; what rounding down leaves goes to the largest rests."""
    sizes = {name: int(size * share) for name, share in shares.items()}
    rests = sorted(shares, key=lambda name: sizes[name] - size * shares[name])
    for name in rests[: size - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def _check_given(
    parts: list[_Part],
    size: int | None,
    source: str,
    ranks: list[int] | None,
    each: int,
    found: Mapping[str, Any],
    shares: Mapping[str, float],
) -> None:
    """Raise `BackfireError` where there are fewer examples than are asked for."""
    short = next((part for part in parts if part.drawn.given < part.asked), None)
    if short is None:
        return
    given, lacking = short.drawn.given, short.drawn.lacking
    several = f" examples of {each} negatives" if each > 1 else ""
    fewer = f"; {lacking} of them have fewer than {each}" if each > 1 else ""
    whose = f" of {short.name} (its share is {shares[short.name]:.0%})" if short.name else ""
    # Of all that are asked for, as many as leave each its share.
    most = min((int(part.drawn.given / shares[part.name]) for part in parts), default=0) if short.name else given
    raise BackfireError(
        f"triples: {short.asked}{several} asked for, but the {len(short.drawn.order)} training queries{whose} give "
        f"only {given} with negatives from {source}{fewer}.",
        _hint(most, source, ranks, each, found.get("dropped")),
    )


def _chosen(
    part: _Part, relevant: dict[str, list[str]], seed: int, each: int
) -> Iterator[tuple[str, str, str, int | None]]:
    """Query, positive, negative and its rank of every row: the part's examples of `each` rows, in their order."""
    draws = part.drawn.draws
    found = (
        (query_id, draws[query_id][number * each : (number + 1) * each])
        for number in range(part.drawn.rounds)
        for query_id in part.drawn.order
        if len(draws.get(query_id, ())) >= (number + 1) * each
    )
    for query_id, negatives in islice(found, part.asked):
        positive = _positive(relevant[query_id], seed, query_id, negatives[0][0])
        yield from ((query_id, positive, *draw) for draw in negatives)


def _swap(
    rows: list[tuple[str, str, str, int | None]], each: int, seed: int, share: float
) -> tuple[list[tuple[str, str, str, int | None]], int]:
    """The rows, of `each` an example, with positive and first negative exchanged in so many of the examples; how many.

    They are those with the smallest keys, so that a larger share holds the smaller one. What was the positive has no
    rank among the candidates.
    """
    if not share:
        return rows, 0
    starts = range(0, len(rows), each)
    order = sorted(starts, key=lambda start: (key(seed, "swapped", *rows[start][:3]), start))
    wrong = set(order[: round(share * len(order))])
    found = []
    for start in starts:
        (query, positive, negative, rank), *others = rows[start : start + each]
        if start in wrong:
            positive, negative, rank = negative, positive, None
        found += [(query, positive, negative, rank), *((query, positive, other, at) for _, _, other, at in others)]
    return found, len(wrong)


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


def _judgments(qrels: str, relevant_from: int) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Positives of every query that has one, and all its passages of a grade above 0, which are no negatives."""
    relevant, spared = defaultdict(list), defaultdict(set)
    for query_id, doc_id, relevance in graded(qrels):
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
