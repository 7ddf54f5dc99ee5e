"""Queries that are asked twice, and passages that answer twice."""

from collections import Counter
from collections.abc import Mapping, Sequence

from backfire.datasets.duplicates import alike, shingles
from backfire.datasets.text import normalised


def asked_twice(training: Sequence[str], evaluated: Sequence[str]) -> int:
    """How many of the `evaluated` queries are among those for `training`: the same words, or nearly (see
    `duplicates.alike`)."""
    exact = {normalised(text) for text in training}
    vocabulary: dict[str, int] = {}
    # Queries share a run of words with few others, so each is held against those alone.
    postings: dict[int, list[int]] = {}
    known = [shingles(text, vocabulary) for text in training]
    for place, each in enumerate(known):
        for run in each:
            postings.setdefault(run, []).append(place)
    count = 0
    for text in evaluated:
        if normalised(text) in exact:
            count += 1
            continue
        own = shingles(text, vocabulary)
        met = Counter(place for run in own for place in postings.get(run, ()))
        count += any(alike(own, known[place]) for place in met)
    return count


def answered_twice(pairs: Sequence[tuple[str, str]], texts: Mapping[str, str]) -> float:
    """The share of the examples, (query id, id of the positive) each, whose positive answers another query too, by its
    id or by its very words; `texts` are those of the positives."""
    if not pairs:
        return 0.0
    asking: dict[str, set[str]] = {}
    words = {doc_id: normalised(texts[doc_id]) for _, doc_id in pairs}
    for query_id, doc_id in pairs:
        asking.setdefault(words[doc_id], set()).add(query_id)
    return sum(len(asking[words[doc_id]]) > 1 for _, doc_id in pairs) / len(pairs)
