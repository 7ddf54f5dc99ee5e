"""Whether a mean difference over queries could be chance: sign-flip tests."""

import numpy as np

# Upper bound on temporary arrays of resamples, in numbers.
AT_ONCE = 1 << 22


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
