"""How the collection `pydocs` comes about: docstring pairs of the installed packages, without repetitions, in splits.

Uses the standard library only, so that the result depends on the packages and on this code alone.
"""

import gc
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from backfire.datasets.docstrings import Pair, pairs
from backfire.datasets.duplicates import groups, near_duplicates
from backfire.datasets.packages import UNSEEN, source_files
from backfire.datasets.text import normalised

SPLITS = ("train", "dev", "test", "unseen")
# Shares, in percent, of the queries of packages that training sees; the rest is `test`.
TRAIN_SHARE, DEV_SHARE = 45, 10


class Record(NamedTuple):
    """A query, its one relevant passage, and where they belong."""

    package: str
    split: str
    doc_id: str
    query_id: str
    query: str
    text: str


def read_package(package: str) -> list[Pair]:
    """Docstring pairs of an installed distribution, by path of the source file and order in it."""
    # Syntax trees are many small objects without cycles: collecting garbage costs 40 % of the time and finds none.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return [pair for path, file in source_files(package) for pair in pairs(file.read_bytes(), path)]
    finally:
        if enabled:
            gc.enable()


def records(packages: Iterable[tuple[str, list[Pair]]]) -> list[Record]:
    """The collection made of (package, pairs), in the order given.

    Of pairs that share a qualified name, a normalised query or a normalised passage, and of groups of near-duplicate
    passages, the first alone is kept: so no passage has a copy on the other side of a split, nor among the passages
    that count as not relevant. The query id is the doc id after `q:`, since tools drop hits whose id is the query's.
    """
    kept: list[tuple[str, Pair]] = []
    seen: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    for package, found in packages:
        for pair in found:
            keys = (pair.name, normalised(pair.query), normalised(pair.passage))
            if all(keys) and not any(key in known for key, known in zip(keys, seen, strict=True)):
                kept.append((package, pair))
                for key, known in zip(keys, seen, strict=True):
                    known.add(key)
    first = groups(len(kept), near_duplicates([pair.passage for _, pair in kept]))
    return [
        Record(package, split_of(package, pair.name), pair.name, f"q:{pair.name}", pair.query, pair.passage)
        for position, (package, pair) in enumerate(kept)
        if first[position] == position
    ]


def split_of(package: str, name: str) -> str:
    """The split of a query, by its package or else by a hash of its qualified name."""
    if package in UNSEEN:
        return "unseen"
    share = int(hashlib.sha256(f"split {name}".encode()).hexdigest(), 16) % 100
    return "train" if share < TRAIN_SHARE else "dev" if share < TRAIN_SHARE + DEV_SHARE else "test"
