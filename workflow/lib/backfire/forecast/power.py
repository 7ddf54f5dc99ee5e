"""What a study can settle, from base's own values alone."""

from collections.abc import Iterator, Sequence

import numpy as np

from backfire.evaluation.significance.equivalence import fewest_queries
from backfire.evaluation.significance.power import MOST_QUERIES, largest_error, minimum_detectable_effect
from backfire.forecast.findings import NOTE, USUAL, Finding, Power, Seen

RATIOS = {"a small change": 0.25, "a usual one": 0.4, "a large one": 0.6}
"""Standard deviation of the differences from base over that of base's own values: see docs/forecast.md."""
USUAL_CHANGE = "a usual one"
# Of base's mean; an effect that is smaller is seldom worth a training.
COARSE = 0.05


def power(values: Sequence[float], measure: str, claims: int, alpha: float, margin: float, wanted: float) -> Power:
    """What a comparison of `claims` variants can settle with these values of base, one for each query.

    `alpha`, `margin` and the chance `wanted` are those of the comparison. The first of the claims to be tested has the
    level `alpha` over their number (Holm).
    """
    spread, count = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, len(values)
    level, error = alpha / max(1, claims), largest_error(alpha, max(1, claims), margin, wanted)
    effects, queries = {}, {}
    for name, ratio in RATIOS.items():
        effects[name] = minimum_detectable_effect(ratio * spread / np.sqrt(count), level, margin, wanted)
        enough = max(fewest_queries(margin, alpha), int(np.ceil((ratio * spread / error) ** 2)))
        queries[name] = enough if enough <= MOST_QUERIES else None
    return Power(measure, count, float(np.mean(values)), claims, margin, effects, queries)


def powers(seen: Seen) -> Iterator[Finding]:
    """A finding where only large effects can be settled."""
    found = seen.power
    if found is None or not found.claims:
        return
    effect, needed = found.effects[USUAL_CHANGE], found.needed[USUAL_CHANGE]
    if effect > max(COARSE * found.mean, 2 * found.margin):
        enough = f"{needed:,} queries" if needed else "more queries than anyone has"
        yield Finding(
            "few queries",
            "primary.split",
            NOTE,
            f"{found.queries:,} queries and {found.claims} comparisons: a difference in {found.measure} below about "
            f"{effect:.2g} may stay open (base: {found.mean:.3g}).",
            "A real gain or loss of that size would be called inconclusive.",
            f"about {enough} would tell no difference from twice the margin ({found.margin:g}), were the differences "
            "as spread as is usual; or compare fewer variants.",
            USUAL,
        )
