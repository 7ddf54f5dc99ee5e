"""Whether an effect depends on a factor: rank correlation with a permutation test."""

import numpy as np

# Upper bound on temporary arrays of permutations, in numbers.
AT_ONCE = 1 << 22


def rank_dependence(
    factor: np.ndarray, effect: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Spearman's correlation of two paired arrays and its two-sided permutation p-value; None if one is constant.

    The statistic that is permuted is the correlation divided by an estimate of its spread that allows the effect to
    vary more for some values of the factor than for others (DiCiccio and Romano, Robust permutation tests for
    correlation and regression coefficients, JASA 2017; for ranks, Yu and Hutson, A robust Spearman correlation
    coefficient permutation test, 2022). The plain test takes such a spread, which a bounded measure always has, for
    a dependence. The p-value is twice the smaller of the one-sided ones, each (b + 1) / (resamples + 1) with b of
    `resamples` random permutations (`scipy.stats.permutation_test`), or exact where there are fewer permutations.
    """
    from scipy.stats import permutation_test, rankdata

    if len(factor) < 3 or np.ptp(factor) == 0 or np.ptp(effect) == 0:
        return None
    # Twice the centred ranks: whole numbers, so that sums do not depend on their order.
    x, y = (2 * rankdata(values) - (len(values) + 1) for values in (factor, effect))
    squares = y * y

    def studentized(sample: np.ndarray, axis: int = -1) -> np.ndarray:
        spread = np.sqrt((sample * sample) @ squares)
        return np.divide(sample @ y, spread, out=np.zeros_like(spread), where=spread > 0)

    result = permutation_test(
        (x,),
        studentized,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, AT_ONCE // len(x)),
        alternative="two-sided",
        rng=rng,
    )
    return float(x @ y / np.sqrt((x @ x) * squares.sum())), float(result.pvalue)
