"""The answer to a query and where a run ranks it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from backfire.evaluation.measures import Qrels
from backfire.formats.trec import Ranking

FIRST = 10
"""Passages of every query that are held against one another: a page of results."""
Answers = dict[str, list[str]]
"""Relevant passages of each query, the highest grade first, then by id: {query_id: [doc_id]}."""


@dataclass(frozen=True)
class Found:
    """What is kept of a run, in memory bounded by the queries whose rankings were asked for."""

    best: dict[str, tuple[int, str]]
    """Rank, from 1, and id of the best-ranked answer; a query is missing where none was found."""
    rankings: dict[str, list[str]]
    """Ids of the passages, best first, of the queries that were asked for; empty for one without results."""
    first: dict[str, list[str]] = field(default_factory=dict)
    """Ids of the first `FIRST` passages of every query that has an answer, best first."""

    def rank(self, query_id: str) -> int | None:
        """Rank of the best-ranked answer; None when it lies below the depth of the run."""
        return self.best[query_id][0] if query_id in self.best else None


def answers_of(qrels: Qrels, relevant_from: int) -> Answers:
    """The passages of each query with a grade of at least `relevant_from`; an empty list where there is none."""
    return {
        query_id: sorted(
            (doc_id for doc_id, grade in judged.items() if grade >= relevant_from),
            key=lambda doc_id: (-judged[doc_id], doc_id),
        )
        for query_id, judged in qrels.items()
    }


def find_answers(run: Iterable[tuple[str, Ranking]], answers: Mapping[str, list[str]], keep: Collection[str]) -> Found:
    """Read a run once: where each answer is, the first passages, and the whole rankings of the queries in `keep`."""
    best: dict[str, tuple[int, str]] = {}
    rankings: dict[str, list[str]] = {query_id: [] for query_id in keep}
    first: dict[str, list[str]] = {query_id: [] for query_id in answers}
    for query_id, ranking in run:
        wanted = set(answers.get(query_id, ()))
        for rank, (doc_id, _) in enumerate(ranking, start=1):
            if doc_id in wanted:
                best[query_id] = rank, doc_id
                break
        first[query_id] = [doc_id for doc_id, _ in ranking[:FIRST]]
        if query_id in rankings:
            rankings[query_id] = [doc_id for doc_id, _ in ranking]
    return Found(best, rankings, first)
