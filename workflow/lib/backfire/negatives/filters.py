"""Negatives dropped by the base's similarity to the query, alone or against that of the query's positive.

Names and meaning are those of sentence-transformers' `mine_hard_negatives`, to which tests hold them equal. Of
NV-Retriever (Moreira et al. 2024, arXiv 2407.15831) `relative_margin: 0.05` is TopK-PercPos at 95 %, `absolute_margin`
TopK-MarginPos and `max_score` TopK-Abs.
"""

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import pyarrow as pa

from backfire.negatives.table import base_scores

# In this order a negative is counted under the first that it does not meet.
NAMES = ("absolute_margin", "relative_margin", "max_score", "min_score")
AGAINST_THE_POSITIVE = ("absolute_margin", "relative_margin")

Draw = tuple[str, int | None]
"""A negative: its doc id, and its rank in the candidate list it was drawn from."""


def relative_limit(positive: float, margin: float) -> float:
    """The highest score that a negative may have beside a positive of that score, by a `relative_margin`."""
    return positive - abs(positive) * margin


class Filter:
    """Tells which negatives may stay, and counts those that may not.

    `settings` maps some of `NAMES` to numbers. A negative is dropped whose score is above the positive's less
    `absolute_margin`, above the positive's less that share of its absolute value (`relative_margin`), above `max_score`
    or below `min_score`. Of several positives of a query the one with the lowest score counts, `positives` its scores.
    Memory holds some 100 bytes for each query that is looked at.
    """

    def __init__(self, settings: dict[str, float], positives: dict[str, float]):
        self._settings, self._positives = settings, positives
        self._counts: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of(
        cls, settings: dict[str, float], relevant: dict[str, list[str]], query_embeddings: str, embeddings: list[str]
    ) -> "Filter":
        """With the base's scores of all `relevant` passages of each query, where a margin needs them."""
        lowest: dict[str, float] = {}
        if not settings.keys().isdisjoint(AGAINST_THE_POSITIVE):
            for query_id, score in _scored(relevant.items(), query_embeddings, embeddings):
                lowest[query_id] = min(score, lowest.get(query_id, score))
        return cls(settings, lowest)

    def kept(self, query_id: str, found: list[Draw], scores: Iterable[float]) -> list[Draw]:
        """Those of a query's negatives that may stay; counts are those of the last time that it was looked at."""
        limits = self._limits(query_id)
        dropped, kept = [0] * len(NAMES), []
        for draw, score in zip(found, scores, strict=True):
            why = next((place for place, low, high in limits if not low <= score <= high), None)
            if why is None:
                kept.append(draw)
            else:
                dropped[why] += 1
        self._counts[query_id] = (len(found), *dropped)
        return kept

    def drop(self, draws: dict[str, list[Draw]], query_embeddings: str, embeddings: list[str]) -> None:
        """Remove from the draws of each query those that may not stay, by scores from the base's embeddings."""
        ids = ((query_id, [doc_id for doc_id, _ in found]) for query_id, found in draws.items())
        scores = (score for _, score in _scored(ids, query_embeddings, embeddings))
        for query_id, found in draws.items():
            draws[query_id] = self.kept(query_id, found, [next(scores) for _ in found])

    def counts(self) -> dict[str, Any]:
        """How many negatives were looked at, and how many were dropped by each setting."""
        looked, *dropped = map(sum, zip((0,) * (1 + len(NAMES)), *self._counts.values(), strict=True))
        by_name = dict(zip(NAMES, dropped, strict=True))
        return {"looked at": looked, "dropped": {name: by_name[name] for name in NAMES if name in self._settings}}

    def _limits(self, query_id: str) -> list[tuple[int, float, float]]:
        """Of each setting its place among the names, and the lowest and the highest score that meets it."""
        none, positive = float("inf"), self._positives.get(query_id, 0.0)
        ranges = {
            "absolute_margin": lambda margin: (-none, positive - margin),
            "relative_margin": lambda margin: (-none, relative_limit(positive, margin)),
            "max_score": lambda score: (-none, score),
            "min_score": lambda score: (score, none),
        }
        return [
            (place, *ranges[name](self._settings[name])) for place, name in enumerate(NAMES) if name in self._settings
        ]


def _scored(
    passages: Iterable[tuple[str, list[str]]], query_embeddings: str, embeddings: list[str]
) -> Iterable[tuple[str, float]]:
    """Query and base's score of each pair of a query and one of its passages, in their order."""
    pairs = [each for query_id, doc_ids in passages for each in zip(repeat(query_id), doc_ids, strict=False)]
    if not pairs:
        return []
    queries, doc_ids = (pa.array(column, pa.string()) for column in zip(*pairs, strict=True))
    scores = base_scores(queries, doc_ids, query_embeddings, embeddings)
    return zip((query_id for query_id, _ in pairs), scores.tolist(), strict=True)
