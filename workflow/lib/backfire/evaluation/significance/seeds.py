"""How much of a difference's variance comes from training seeds and how much from queries."""

import math
from dataclasses import dataclass

import numpy as np

SMALLEST_TAIL = 1e-16


@dataclass(frozen=True)
class Components:
    """Variances of a difference: between queries, between seeds, and of what is left.

    `seed` is None with one seed: there the residual cannot be told from the queries and is part of `query`.
    """

    query: float
    seed: float | None
    residual: float
    seeds: int
    queries: int

    def variance(self, queries: int | None = None, seeds: int | None = None) -> float:
        """Variance of the mean over `queries` queries and `seeds` seeds, by default as many as there were."""
        queries, seeds = queries or self.queries, seeds or self.seeds
        return (self.seed or 0.0) / seeds + self.query / queries + self.residual / (seeds * queries)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean difference."""
        return math.sqrt(self.variance())

    @property
    def seed_share(self) -> float | None:
        """Share of the variance of the mean difference that is due to seeds; None with one seed or no variance."""
        if self.seed is None or not self.variance():
            return None
        return self.seed / self.seeds / self.variance()

    def quantile(self, tail: float) -> float:
        """How many standard errors the mean exceeds by chance with probability `tail`.

        The t quantiles of the seeds and of the queries, weighted by their shares of the variance (Cochran and Cox,
        Experimental Designs, 1957, section 4.14): a little too large, where Satterthwaite's degrees of freedom are too
        liberal for two or three seeds. With one seed the t quantile of the queries.
        """
        from scipy.stats import t

        found = t.isf(tail, self.queries - 1)
        if self.seed_share:
            found += self.seed_share * (t.isf(tail, self.seeds - 1) - found)
        return float(found)

    def tail(self, errors: float) -> float:
        """The chance that the mean exceeds its expectation by so many standard errors: the inverse of `quantile`."""
        from scipy.optimize import brentq
        from scipy.stats import t

        if errors < 0:
            return 1 - self.tail(-errors)
        if not self.seed_share:
            return float(t.sf(errors, self.queries - 1))
        if errors >= self.quantile(SMALLEST_TAIL):
            return SMALLEST_TAIL
        return float(brentq(lambda tail: self.quantile(tail) - errors, SMALLEST_TAIL, 0.5, xtol=1e-18, rtol=1e-12))


def components(differences: np.ndarray) -> Components:
    """Variance components of `differences`, shape (seeds, queries), by the analysis of variance of a crossed design.

    Difference = mean + seed + query + residual, all random; expected mean squares as in Searle, Casella and McCulloch,
    Variance Components (1992), section 4.3; negative estimates are set to 0. At least two queries.
    """
    seeds, queries = differences.shape
    if seeds == 1:
        return Components(float(differences[0].var(ddof=1)), None, 0.0, 1, queries)
    rows, columns = differences.mean(axis=1), differences.mean(axis=0)
    between_seeds = queries * rows.var(ddof=1)
    between_queries = seeds * columns.var(ddof=1)
    left = differences - rows[:, None] - columns + differences.mean()
    residual = float((left**2).sum() / ((seeds - 1) * (queries - 1)))
    return Components(
        query=float(max(0.0, (between_queries - residual) / seeds)),
        seed=float(max(0.0, (between_seeds - residual) / queries)),
        residual=residual,
        seeds=seeds,
        queries=queries,
    )
