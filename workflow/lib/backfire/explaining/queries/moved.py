"""The queries that a variant moved most, and the passages that took the answer's place or gave it up."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backfire.explaining.queries.answers import Answers, Found
from backfire.explaining.queries.paired import Paired

MOST = 10
"""Queries that are kept for each variant and direction."""
PASSAGES = 3
"""Passages that are named for each of them."""
CHARACTERS = 300
"""Length that texts are cut to."""


@dataclass(frozen=True)
class Move:
    """One query of one variant: a row of the table `moved` before texts are known."""

    row: dict[str, Any]
    passages: list[str] = field(default_factory=list)
    """Ids of the passages that the answer changed places with."""

    @property
    def doc_ids(self) -> set[str]:
        """Passages whose texts are wanted."""
        return {*self.passages, *([self.row["answer_id"]] if self.row["answer_id"] is not None else [])}


def most_moved(differences: np.ndarray, queries: list[str], most: int = MOST) -> dict[str, list[int]]:
    """Places in `queries` of those that lost most and gained most, {"loss": [...], "gain": [...]}.

    Largest first, at most `most` each, those without a difference left out; equal ones by query id.
    """
    order = sorted(range(len(queries)), key=lambda place: (-abs(differences[place]), queries[place]))
    return {
        "loss": [place for place in order if differences[place] < 0][:most],
        "gain": [place for place in order if differences[place] > 0][:most],
    }


def changed_places(
    better: list[str], worse: list[str], better_rank: int | None, worse_rank: int | None, most: int = PASSAGES
) -> list[str]:
    """Passages before the answer in the ranking `worse` that come after it, or not at all, in the ranking `better`.

    The first `most`, in the order of `worse`. A rank is that of the answer, from 1; None: it is not in that ranking,
    so all of `worse` is before it; where `better` lacks it too, nothing can be said and the list is empty.
    """
    if better_rank is None:
        return []
    before = set(better[:better_rank])
    ahead = worse if worse_rank is None else worse[: worse_rank - 1]
    return [doc_id for doc_id in ahead if doc_id not in before][:most]


def moves(paired: Paired, variant: str, answers: Answers, base: Found, tuned: Found) -> list[Move]:
    """The queries that `variant` moved most, losses before gains.

    `base` and `tuned` hold the rankings of these queries (see `most_moved`) by base and by the variant's first seed,
    which is where ranks are from; values are means over seeds. The answer is the relevant passage that was ranked
    best by the side that did better, or else by the other, or else the first of the highest grade.
    """
    found, mean, differences = [], paired.mean(variant), paired.difference(variant)
    for direction, places in most_moved(differences, paired.queries).items():
        for number, place in enumerate(places, start=1):
            query_id = paired.queries[place]
            better, worse = (base, tuned) if direction == "loss" else (tuned, base)
            passages = changed_places(
                better.rankings[query_id], worse.rankings[query_id], better.rank(query_id), worse.rank(query_id)
            )
            best = better.best.get(query_id) or worse.best.get(query_id)
            ranks = [{doc_id: rank for rank, doc_id in enumerate(run.rankings[query_id], 1)} for run in (base, tuned)]
            row = {
                "variant": variant,
                "direction": direction,
                "place": number,
                "query_id": query_id,
                "base_value": float(paired.base[place]),
                "variant_value": float(mean[place]),
                "delta": float(differences[place]),
                "base_rank": base.rank(query_id),
                "variant_rank": tuned.rank(query_id),
                "answer_id": best[1] if best else next(iter(answers.get(query_id, ())), None),
                "passage_ids": passages,
                "passage_base_ranks": [ranks[0].get(doc_id) for doc_id in passages],
                "passage_variant_ranks": [ranks[1].get(doc_id) for doc_id in passages],
            }
            found.append(Move(row, passages))
    return found


def with_texts(move: Move, queries: Mapping[str, str], passages: Mapping[str, str]) -> dict[str, Any]:
    """A row of the table `moved`, its texts cut."""
    answer = move.row["answer_id"]
    return move.row | {
        "query": cut(queries[move.row["query_id"]]),
        "answer": None if answer is None else cut(passages[answer]),
        "passage_texts": [cut(passages[doc_id]) for doc_id in move.passages],
    }


def cut(text: str, characters: int = CHARACTERS) -> str:
    """A text on one line, cut between words to at most that many characters; an ellipsis says so."""
    short = textwrap.shorten(text, characters, placeholder="\N{HORIZONTAL ELLIPSIS}")
    # A single long word leaves nothing but the ellipsis.
    return short if len(short) > 1 or len(text.strip()) <= 1 else f"{text.strip()[: characters - 1]}{short}"
