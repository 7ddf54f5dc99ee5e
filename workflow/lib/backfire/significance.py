"""How sure a mean difference over queries is: an interval, a test, and corrections for many tests."""

from collections.abc import Sequence

import numpy as np

from backfire.keyed import key

# Upper bound on temporary arrays of resamples, in numbers.
AT_ONCE = 1 << 22


def keyed_rng(*parts: str | int) -> np.random.Generator:
    """A random stream that depends on `parts` alone, so that one comparison's draws do not shift another's."""
    return np.random.default_rng(key(*parts))


def bootstrap_interval(
    differences: np.ndarray, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """BCa bootstrap interval of the mean of paired `differences`, one per query.

    Bias-corrected and accelerated, second-order accurate (Efron, Better Bootstrap Confidence Intervals, JASA 1987),
    by `scipy.stats.bootstrap`. Queries are resampled; differences between training seeds are not part of it. Equal
    differences give the point itself; a single query gives None; where the correction has no finite value (a
    handful of queries) the percentile interval stands in.
    """
    from scipy.stats import bootstrap

    if len(differences) < 2:
        return None
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        result = bootstrap(
            (differences,),
            np.mean,
            n_resamples=resamples,
            batch=max(1, AT_ONCE // len(differences)),
            vectorized=True,
            confidence_level=confidence,
            method="BCa",
            rng=rng,
        )
    low, high = result.confidence_interval
    if not (np.isfinite(low) and np.isfinite(high)):
        tail = (1 - confidence) / 2
        low, high = np.quantile(result.bootstrap_distribution, [tail, 1 - tail])
    return float(low), float(high)


def sign_flip_p(differences: np.ndarray, resamples: int, rng: np.random.Generator) -> float:
    """Two-sided p-value of the paired randomisation test on the mean of `differences`.

    Under the null hypothesis a query's two values are exchangeable, so the sign of each difference is a coin toss
    (Fisher; Smucker, Allan and Carterette, CIKM 2007). The p-value is the share of sign assignments whose mean is
    at least as far from 0 as the one found: over all of them where there are at most `resamples`, else
    (b + 1) / (resamples + 1) with b of `resamples` random ones (Phipson and Smyth 2010), which is never 0.
    """
    # Zero has no sign: a query without a difference changes no assignment's mean.
    values = differences[differences != 0]
    if not len(values):
        return 1.0
    observed = abs(values.sum())
    # Equal sums that were added up in different orders must count as equal.
    at_least = observed - 1e-12 * np.abs(values).sum()
    enumerate_all = len(values) < 63 and 2 ** len(values) <= resamples
    total = 2 ** len(values) if enumerate_all else resamples
    extreme, step = 0, max(1, AT_ONCE // len(values))
    for start in range(0, total, step):
        count = min(step, total - start)
        if enumerate_all:
            flips = (np.arange(start, start + count)[:, None] >> np.arange(len(values))) & 1
        else:
            flips = rng.integers(0, 2, size=(count, len(values)), dtype=np.int8)
        sums = values.sum() - 2 * (flips.astype(np.float64) @ values)
        extreme += int((np.abs(sums) >= at_least).sum())
    return extreme / total if enumerate_all else (extreme + 1) / (total + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the chance of any false claim in the family (Holm 1979)."""
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the expected share of false claims (Benjamini and Hochberg 1995)."""
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method=method)[1].tolist() if len(p_values) else []
