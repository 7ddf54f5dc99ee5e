"""What took the answer's place, and what gave it up: of every query whose answer moved, the passage at its place.

Each exchange is of one kind, the first of `KINDS` that it is. What is lost is held against what is gained: that half of
the losses go to passages with fewer of the query's words says nothing where half of the gains come from such passages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backfire.datasets.duplicates import alike, shingles
from backfire.evaluation.significance.families import benjamini_hochberg
from backfire.explaining.queries.answers import FIRST, Found
from backfire.explaining.queries.factors import overlap
from backfire.explaining.queries.moved import changed_places
from backfire.explaining.queries.paired import Paired

OTHER = "other"
KINDS = ("near duplicate", "hub", "fewer words", OTHER)
"""A passage whose text is nearly the answer's; one that has come to be returned for many queries (see `hubs`); one that
holds fewer of the query's words than the answer does; any other."""
LOSS, GAIN = "loss", "gain"


@dataclass(frozen=True)
class Exchange:
    """A query of a variant, its answer, and the passage that changed places with it, the first of them."""

    variant: str
    direction: str
    query_id: str
    answer_id: str
    passage_id: str


def hubs(before: Mapping[str, list[str]], after: Mapping[str, list[str]], alpha: float) -> set[str]:
    """Passages that stand among the first of significantly more queries `after` than `before`, {query id: doc ids}.

    A passage enters the lists of some queries and leaves those of others; that each was as likely is tested by a
    one-sided sign test, and the p-values of all passages that entered or left any list are corrected by
    Benjamini-Hochberg, so that of those named no more than the share `alpha` is expected to be chance.
    """
    from scipy.stats import binom

    entered: dict[str, int] = {}
    left: dict[str, int] = {}
    for query_id in before.keys() & after.keys():
        old, new = set(before[query_id]), set(after[query_id])
        for doc_id in new - old:
            entered[doc_id] = entered.get(doc_id, 0) + 1
        for doc_id in old - new:
            left[doc_id] = left.get(doc_id, 0) + 1
    names = sorted(entered.keys() | left.keys())
    if not names:
        return set()
    came, went = (np.array([counts.get(name, 0) for name in names]) for counts in (entered, left))
    adjusted = benjamini_hochberg(binom.sf(came - 1, came + went, 0.5).tolist())
    return {name for name, p in zip(names, adjusted, strict=True) if p < alpha}


def exchanges(paired: Paired, variant: str, base: Found, tuned: Found) -> list[Exchange]:
    """Every query that a variant moved, as far as its answer changed places with a passage among the first ones.

    `base` and `tuned` hold the first passages of every query (`Found.first`), by base and by the variant's first seed.
    A query that loses by its mean over seeds and not by the first seed's ranking has no passage to name.
    """
    found = []
    for place, difference in enumerate(paired.difference(variant).tolist()):
        query_id = paired.queries[place]
        if not difference:
            continue
        better, worse = (base, tuned) if difference < 0 else (tuned, base)
        if query_id not in better.best:
            continue
        rank, answer_id = better.best[query_id]
        if rank > FIRST:
            # What came before it is not known.
            continue
        others = changed_places(better.first[query_id], worse.first[query_id], rank, worse.rank(query_id), 1)
        if others:
            found.append(Exchange(variant, LOSS if difference < 0 else GAIN, query_id, answer_id, others[0]))
    return found


def kinds(
    found: Iterable[Exchange],
    hubs_of: Mapping[str, set[str]],
    queries: Mapping[str, str],
    passages: Mapping[str, str],
) -> dict[Exchange, str]:
    """The kind of each exchange; `hubs_of` are for each direction the passages that count as hubs."""
    vocabulary: dict[str, int] = {}
    sets: dict[str, set[int]] = {}

    def near(a: str, b: str) -> bool:
        for name in (a, b):
            if name not in sets:
                sets[name] = shingles(passages[name], vocabulary)
        return alike(sets[a], sets[b])

    def kind(each: Exchange) -> str:
        if near(each.answer_id, each.passage_id):
            return "near duplicate"
        if each.passage_id in hubs_of[each.direction]:
            return "hub"
        query = queries[each.query_id]
        answer, other = (overlap(query, [passages[name]]) for name in (each.answer_id, each.passage_id))
        return "fewer words" if other < answer else OTHER

    return {each: kind(each) for each in found}


def counted(
    paired: Paired, variant: str, kinds_of: Mapping[Exchange, str], hubs_of: Mapping[str, set[str]]
) -> list[dict[str, Any]]:
    """Rows of the table `replaced` of a variant: for each kind how many losses and gains are of it, and its p-value.

    `p` is Fisher's exact test that the kind is as common among losses as among gains, two-sided; None where there are
    none of either, and for `OTHER`, which follows from the others. `moved` counts the queries of that direction, those
    without a passage to name included.
    """
    from scipy.stats import fisher_exact

    difference = paired.difference(variant)
    moved = {LOSS: int((difference < 0).sum()), GAIN: int((difference > 0).sum())}
    named = {direction: [kinds_of[each] for each in kinds_of if each.direction == direction] for direction in moved}
    rows = []
    for kind in KINDS:
        table = [[named[direction].count(kind), len(named[direction])] for direction in (LOSS, GAIN)]
        p = None
        if kind != OTHER and all(total for _, total in table):
            p = float(fisher_exact([[count, total - count] for count, total in table]).pvalue)
        for direction, (count, total) in zip((LOSS, GAIN), table, strict=True):
            rows.append(
                {
                    "variant": variant,
                    "direction": direction,
                    "kind": kind,
                    "queries": count,
                    "named": total,
                    "moved": moved[direction],
                    "hubs": len(hubs_of[direction]),
                    "p": p,
                }
            )
    return rows


def adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `p_adjusted`: Benjamini-Hochberg over all variants and kinds, each pair of directions once."""
    tested = [row for row in rows if row["direction"] == LOSS and row["p"] is not None]
    found = benjamini_hochberg([row["p"] for row in tested]) if tested else []
    by_kind = {(row["variant"], row["kind"]): p for row, p in zip(tested, found, strict=True)}
    return [row | {"p_adjusted": by_kind.get((row["variant"], row["kind"]))} for row in rows]


def wanted(found: Iterable[Exchange]) -> set[str]:
    """Passages whose texts are needed to tell kinds."""
    return {name for each in found for name in (each.answer_id, each.passage_id)}
