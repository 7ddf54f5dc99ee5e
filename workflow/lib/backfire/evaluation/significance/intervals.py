"""How far a mean difference could be from the one found: bootstrap intervals over queries, and over seeds too."""

import numpy as np

from backfire.evaluation.significance.effects import constant
from backfire.evaluation.significance.seeds import components

# Upper bound on temporary arrays of resamples, in numbers.
AT_ONCE = 1 << 22


def bootstrap_interval(
    differences: np.ndarray, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """BCa bootstrap interval of the mean of paired `differences`, one per query.

    Bias-corrected and accelerated, second-order accurate (Efron, Better Bootstrap Confidence Intervals, JASA 1987),
    by `scipy.stats.bootstrap`, at the confidence that `expanded` gives. Queries are resampled; differences between
    training seeds are not part of it. Equal differences give the point itself; a single query gives None; where the
    correction has no finite value (a handful of queries) the percentile interval stands in.
    """
    from scipy.stats import bootstrap

    if len(differences) < 2:
        return None
    if constant(differences):
        return float(differences[0]), float(differences[0])
    confidence = expanded(confidence, len(differences))
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


def expanded(confidence: float, count: int) -> float:
    """The confidence at which a bootstrap of `count` values covers as often as a t interval at `confidence` would.

    A bootstrap's own spread is too small by sqrt((count - 1) / count) and knows no degrees of freedom (Hesterberg, The
    American Statistician 2015: the expanded percentile interval).
    """
    from scipy.stats import norm, t

    tail = norm.sf(t.isf((1 - confidence) / 2, count - 1) * np.sqrt(count / (count - 1)))
    return float(min(1 - 2 * tail, 1 - 1e-9))


def crossed_interval(
    differences: np.ndarray, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Bootstrap interval of the mean of `differences`, shape (seeds, queries), over seeds and queries at once.

    Both are resampled, each independently of the other (the pigeonhole bootstrap; Owen, Annals of Applied Statistics
    2007), all queries and one seed fewer than there are, which makes the variance between a handful of seeds come out
    unbiased (McCarthy and Snowden 1985). The percentile interval is stretched around the mean by the quantile of
    `Components` over the normal one, since two or three seeds say little of how far seeds lie apart. With one seed
    this is `bootstrap_interval`; a single query gives None.
    """
    from scipy.stats import norm

    seeds, queries = differences.shape
    if seeds == 1:
        return bootstrap_interval(differences[0], confidence, resamples, rng)
    if queries < 2:
        return None
    centre = float(differences.mean())
    means = []
    step = max(1, AT_ONCE // queries)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        weights = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=count) / (seeds - 1)
        drawn = rng.integers(0, queries, size=(count, queries))
        by_seed = np.stack([row[drawn].mean(axis=1) for row in differences], axis=1)
        means.append((weights * by_seed).sum(axis=1))
    tail = (1 - confidence) / 2
    bounds = np.quantile(np.concatenate(means), [tail, 1 - tail])
    stretch = components(differences).quantile(tail) / norm.isf(tail)
    low, high = centre + stretch * (bounds - centre)
    return float(low), float(high)
