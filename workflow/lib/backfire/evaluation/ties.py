"""Passages of equal score: the orders that give a measure its lowest and its highest value.

The scorer did not order them; a run lists them by id, trec_eval by id from the other end. McSherry and Najork (ECIR
2008) average a measure over all orders; here it is bounded, so that what depends on the order shows.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count, groupby, islice

from backfire.formats.trec import Ranking

TIES = ("best", "worst")

Grades = Mapping[str, int]
"""Judgments of one query as {doc_id: relevance}; what is not judged has grade 0."""


def ordered_ties(
    run: Iterable[tuple[str, Ranking]], qrels: Mapping[str, Grades], best: bool, depth: int | None = None
) -> Iterator[tuple[str, Ranking]]:
    """The run with passages of equal score ordered as `ordered` does, query by query."""
    for query_id, ranking in run:
        yield query_id, ordered(ranking, qrels.get(query_id, {}), best, depth)


def ordered(ranking: Ranking, grades: Grades, best: bool, depth: int | None = None) -> Ranking:
    """A ranking with passages of equal score ordered by their grade: highest first if `best`, else lowest first.

    No order of ties gives a higher value than the best, or a lower one than the worst, to any measure that does not
    fall when a passage of higher grade moves up, as RR, nDCG, AP, R and P.

    A run of `depth` passages whose last ones tie (two at least) may have been cut inside that tie, and nobody knows
    how far it went on. It is assumed to hold whatever does most: at best, the relevant passages that the run lacks
    take places of irrelevant ones; at worst, its own relevant passages lose theirs to passages that are not judged.
    Without `depth` no tie goes on beyond the run.
    """
    found: Ranking = []
    for score, tied in groupby(ranking, key=lambda hit: hit[1]):
        group = list(tied)
        size = len(group)
        if depth is not None and size > 1 and len(found) + size == len(ranking) >= depth:
            ranked = {doc_id for doc_id, _ in ranking}
            beyond = _lacking(grades, ranked) if best else islice(_unjudged(grades, ranked), size)
            group += [(doc_id, score) for doc_id in beyond]
        # Sorting is stable in both directions, so passages of one grade keep their order by id.
        found += sorted(group, key=lambda hit: grades.get(hit[0], 0), reverse=best)[:size]
    return found


def tie_bounds(ranking: Ranking, grades: Grades, depth: int | None = None) -> tuple[Ranking, Ranking] | None:
    """The worst and the best order of a ranking, or None where they put the same grades at the same ranks."""
    # Nearly every ranking ends here, without being ordered: its relevant passages tie with none.
    scores = [score for _, score in ranking]
    graded = {score for doc_id, score in ranking if grades.get(doc_id, 0)}
    if not any(scores.count(score) > 1 for score in graded.union(scores[-1:])):
        return None
    worst, best = (ordered(ranking, grades, order, depth) for order in (False, True))
    same = all(grades.get(one, 0) == grades.get(other, 0) for (one, _), (other, _) in zip(worst, best, strict=True))
    return None if same else (worst, best)


def _lacking(grades: Grades, ranked: Collection[str]) -> list[str]:
    """Relevant passages that are not ranked."""
    return [doc_id for doc_id, grade in grades.items() if grade > 0 and doc_id not in ranked]


def _unjudged(grades: Grades, ranked: Collection[str]) -> Iterator[str]:
    """Ids that no passage of the ranking or the judgments has."""
    return (doc_id for number in count() if (doc_id := f"beyond-{number}") not in ranked and doc_id not in grades)
