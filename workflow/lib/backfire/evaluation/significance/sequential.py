"""Whether a mean difference has fallen below 0, asked again and again while more happens to the same queries."""

from typing import NamedTuple

import numpy as np

# Sign assignments, fewer where queries are so many that these numbers would be more.
FLIPS, NUMBERS = 9_999, 1 << 25


class Seen(NamedTuple):
    """One look: the statistic, the boundary that it must exceed for an alarm (infinite where nothing can), and both."""

    statistic: float
    boundary: float
    alarm: bool


class SequentialFall:
    """A one-sided sign-flip test at each of a known number of looks, its false alarms at most `alpha` over all looks.

    Under the null hypothesis a query's differences at all looks are as likely with the opposite sign, all together
    (see `randomisation`). So each sign assignment makes a path of statistics as the one found is, and the boundary of a
    look is set so that of all paths that have not crossed yet no more cross than the error still to be spent allows:
    the group-sequential test of Lan and DeMets (1983, "Discrete sequential boundaries for clinical trials", Biometrika
    70) by randomisation instead of a normal distribution, spending the error evenly over looks. What was found is one
    of the paths, which makes it exact for any number of assignments (Phipson and Smyth 2010). The statistic of a look
    is minus the sum of the differences over the root of the sum of their squares.
    """

    def __init__(self, queries: int, looks: int, alpha: float, flips: int = FLIPS):
        self._looks, self._alpha = looks, alpha
        flips = max(999, min(flips, NUMBERS // max(1, queries)))
        # Any fixed choice will do, as long as the data have no part in it.
        self._signs = (2 * np.random.default_rng(0).integers(0, 2, (flips, queries), np.int8) - 1).astype(np.float32)
        self._alive = np.ones(1 + flips, bool)
        self._number = 0

    def look(self, differences: np.ndarray) -> Seen:
        """The next look: `differences` (queries,) from where all began, negative ones are losses."""
        self._number += 1
        scale = float(np.sqrt(np.sum(differences**2)))
        if scale == 0:
            return Seen(0.0, float("inf"), False)
        own = -float(differences.sum()) / scale
        flipped = -(self._signs @ differences.astype(np.float32)) / scale
        # Equal sums that were added up in different orders must count as equal.
        paths = np.round(np.concatenate([[own], flipped]), 5)
        spent = len(paths) - int(self._alive.sum())
        allowed = int(self._alpha * min(1.0, self._number / self._looks) * len(paths)) - spent
        boundary = float("inf")
        if allowed > 0:
            alive = np.sort(paths[self._alive])[::-1]
            boundary = max(0.0, float(alive[allowed])) if allowed < len(alive) else 0.0
        crossed = self._alive & (paths > boundary)
        self._alive &= ~crossed
        return Seen(float(paths[0]), boundary, bool(crossed[0]))
