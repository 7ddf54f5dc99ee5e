"""What a query's effect may depend on: its length, its overlap with the answer, and where base ranked the answer."""

import re
from collections.abc import Iterable

import numpy as np

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text: runs of letters, digits and underscores, casefolded."""
    return _WORD.findall(text.casefold())


def overlap(query: str, answers: Iterable[str]) -> float:
    """Share of the query's distinct words that occur in the answer, from 0 to 1; of several answers the largest.

    NaN where the query has no word or there is no answer.
    """
    asked = set(words(query))
    shares = [len(asked.intersection(words(answer))) / len(asked) for answer in answers] if asked else []
    return max(shares, default=np.nan)


def thirds(values: np.ndarray) -> np.ndarray:
    """The third, 0 to 2, that each value belongs to by its place among all; equal values are kept together.

    A value that fills more than a third goes where its middle lies, so a third may be empty. NaN has none: -1.
    """
    from scipy.stats import rankdata

    known = np.isfinite(values)
    third = np.full(len(values), -1)
    if known.any():
        third[known] = np.floor(3 * (rankdata(values[known]) - 0.5) / known.sum()).astype(int)
    return third
