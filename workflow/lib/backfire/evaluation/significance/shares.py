"""A share of things that come in clusters, as negatives do by the query that they were drawn for, with its interval."""

from typing import NamedTuple

import numpy as np


class Share(NamedTuple):
    """A share, and the bounds of its interval; all None where there is nothing to take it of."""

    value: float | None
    low: float | None
    high: float | None


def clustered_share(true: np.ndarray, clusters: np.ndarray, alpha: float) -> Share:
    """The share of `true`, bool of shape (things,), with a two-sided interval that misses it in `alpha` of samples.

    `clusters`, of the same shape, holds the number of the cluster of each; clusters are what was sampled. The interval
    is that of Clopper and Pearson with the effective sample size in place of the number of things (Korn and Graubard
    1998, "Confidence intervals for proportions with small expected number of positive counts estimated from survey
    data", Survey Methodology 24): the size of a simple random sample of the same variance, by the linearised variance
    of a ratio over clusters, no more than there are things. Where all or none are true there is no variance to
    take it from, and each cluster counts as one. With as many clusters as things it is Clopper and Pearson's own, with
    n - 1 for n.
    """
    from scipy.stats import t
    from statsmodels.stats.proportion import proportion_confint

    things = len(true)
    if not things:
        return Share(None, None, None)
    numbers, sizes = np.unique(clusters, return_inverse=True, return_counts=True)[1:]
    groups, share = len(sizes), float(np.mean(true))
    variance = 0.0
    if groups > 1 and 0 < share < 1:
        totals = np.bincount(numbers, weights=true, minlength=groups)
        variance = groups / (groups - 1) * float(np.sum((totals - share * sizes) ** 2)) / things**2
    effective = min(things, share * (1 - share) / variance) if variance > 0 else min(groups, things)
    if groups > 1 and variance > 0:
        # Few clusters tell the variance badly.
        effective *= (t.ppf(alpha / 2, things - 1) / t.ppf(alpha / 2, groups - 1)) ** 2 if things > 1 else 1.0
    low, high = proportion_confint(share * effective, effective, alpha=alpha, method="beta")
    return Share(share, float(low), float(high))
