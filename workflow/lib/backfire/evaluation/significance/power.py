"""What a study can see: minimum detectable effect, power of a verdict, and the queries and seeds that would settle it.

By normal approximation with the measured variances, for the rule in `verdict`: a claim needs a test at level `alpha`
(two-sided, already divided by the number of claims where it is one of several) and a mean difference of at least the
margin; equivalence needs two one-sided tests, divided alike, and a two-sided interval within the margin.
"""

import math

from backfire.evaluation.significance.equivalence import fewest_queries
from backfire.evaluation.significance.seeds import Components

# More than this many of either is not called a number that one could gather.
MOST_QUERIES, MOST_SEEDS = 10_000_000, 100


def power(effect: float, error: float, alpha: float, margin: float) -> float:
    """Chance of HELPS for a true `effect` above 0 at the standard `error` of the mean difference."""
    from scipy.stats import norm

    if not error:
        return float(effect >= margin)
    return float(norm.sf((max(norm.isf(alpha / 2) * error, margin) - effect) / error))


def minimum_detectable_effect(error: float, alpha: float, margin: float, wanted: float) -> float:
    """The smallest true effect that gets HELPS or HARMS with probability `wanted`; the inverse of `power`."""
    from scipy.stats import norm

    return float(max(norm.isf(alpha / 2) * error, margin) + norm.ppf(wanted) * error)


def largest_error(alpha: float, claims: int, margin: float, wanted: float) -> float:
    """The standard error that tells no difference from one of twice the margin: see `needed`."""
    from scipy.stats import norm

    quantile = norm.ppf(wanted)
    return float(
        min(
            # No difference is called EQUIVALENT ...
            margin / (norm.isf(min(alpha / 2, alpha / claims)) + norm.ppf((1 + wanted) / 2)),
            # ... and one of twice the margin, HELPS or HARMS: beyond the margin and beyond the test's threshold.
            margin / quantile if quantile > 0 else math.inf,
            2 * margin / (norm.isf(alpha / claims / 2) + quantile),
        )
    )


def needed(
    spread: Components, alpha: float, claims: int, margin: float, wanted: float
) -> tuple[int | None, int | None]:
    """Queries and seeds that tell no difference from one of twice the margin, in a comparison of this spread.

    With so many, the one would be called EQUIVALENT and the other HELPS or HARMS, each with probability `wanted`; what
    lies between may stay open, at the margin itself with any number. It rests on the measured variances and not on the
    difference found, which would only restate its p-value (Hoenig and Heisey, The American Statistician 2001). Seeds
    are the fewest, at least as many as there were, whose variance leaves half of the room to the queries; None with
    one seed, where their variance is unknown and the queries count alone. None for queries or seeds beyond
    `MOST_QUERIES` or `MOST_SEEDS`.
    """
    room = largest_error(alpha, claims, margin, wanted) ** 2
    seeds = spread.seeds
    if spread.seed:
        seeds = max(seeds, math.ceil(2 * spread.seed / room))
    left = room - (spread.seed or 0.0) / seeds
    queries = max(fewest_queries(margin, alpha), math.ceil((spread.query + spread.residual / seeds) / left))
    if seeds > MOST_SEEDS:
        return None, None
    return queries if queries <= MOST_QUERIES else None, None if spread.seed is None else seeds
