"""How far a mean difference over queries could be from the one found: bootstrap intervals."""

import numpy as np

# Upper bound on temporary arrays of resamples, in numbers.
AT_ONCE = 1 << 22


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
