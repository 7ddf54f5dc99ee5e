"""Near-duplicate texts: an exact join on the Jaccard similarity of word shingles.

Prefix filtering as in Bayardo, Ma and Srikant (2007), "Scaling up all pairs similarity search": two sets with
Jaccard similarity >= t share an element among the |s| - ceil(t |s|) + 1 rarest of each, so only texts that meet in
such a prefix are compared. No hashing and no sampling, so the result does not depend on a seed.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from backfire.datasets.text import normalised

SHINGLE = 3
THRESHOLD = 0.8


def shingles(text: str, vocabulary: dict[str, int]) -> set[int]:
    """Runs of `SHINGLE` normalised words as numbers; a shorter text is one shingle. Adds words to `vocabulary`."""
    words = [vocabulary.setdefault(word, len(vocabulary) + 1) for word in normalised(text).split()]
    words += [0] * (SHINGLE - len(words))
    runs = zip(*(words[start:] for start in range(SHINGLE)), strict=False)
    return {(a << 48) | (b << 24) | c for a, b, c in runs}


def alike(one: set[int], other: set[int], threshold: float = THRESHOLD) -> bool:
    """Whether two sets of shingles have a Jaccard similarity of `threshold` or more."""
    shared = len(one & other)
    return shared >= threshold * (len(one) + len(other) - shared)


def near_duplicates(
    texts: Sequence[str], threshold: float = THRESHOLD, done: Callable[[], object] = lambda: None
) -> Iterator[tuple[int, int]]:
    """Every pair (i, j), i < j, of positions whose texts have Jaccard similarity >= `threshold`; in no set order.

    `done` is called for each text that was compared. Texts made by a template, whose rarest words are common, are all
    compared with one another.
    """
    vocabulary: dict[str, int] = {}
    sets = [shingles(text, vocabulary) for text in texts]
    frequency = Counter(shingle for each in sets for shingle in each)
    postings: dict[int, list[int]] = {}
    for i in sorted(range(len(sets)), key=lambda i: (len(sets[i]), i)):
        mine = sets[i]
        prefix = len(mine) - math.ceil(threshold * len(mine)) + 1
        # The rarest stand in one text only, and so bring no two together.
        common = [shingle for shingle in mine if frequency[shingle] > 1]
        prefix -= len(mine) - len(common)
        rarest = sorted(common, key=lambda shingle: (frequency[shingle], shingle))[:prefix] if prefix > 0 else []
        for j in {j for shingle in rarest for j in postings.get(shingle, ())}:
            if len(sets[j]) < threshold * len(mine):
                continue
            if alike(mine, sets[j], threshold):
                yield (i, j) if i < j else (j, i)
        for shingle in rarest:
            postings.setdefault(shingle, []).append(i)
        done()


def groups(count: int, links: Iterator[tuple[int, int]]) -> list[int]:
    """The smallest position of each position's group, positions being in one group when `links` connect them."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in links:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    return [root(i) for i in range(count)]
