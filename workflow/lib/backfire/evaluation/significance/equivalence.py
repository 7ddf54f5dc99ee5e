"""Whether a difference is too small to matter: one-sided tests against a margin, of a loss alone or both ways."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # The DAG takes the words of the rule from here, and loads no numpy.
    from backfire.evaluation.significance.seeds import Components


def noninferiority_p(delta: float, spread: "Components", margin: float) -> float:
    """P-value of non-inferiority: a one-sided t test of a loss of `margin` or more, by the mean difference `delta`.

    The standard error and its quantiles are those of `spread`, so that with several seeds it is claimed for seeds in
    general. Without any variance it is 0 above -`margin`, else 1: see `fewest_queries` for why that proves nothing by
    itself. Piaggio et al., Reporting of noninferiority and equivalence randomized trials, JAMA 2012.
    """
    error = spread.standard_error
    if not error:
        return 0.0 if delta > -margin else 1.0
    return spread.tail((margin + delta) / error)


def tost_p(delta: float, spread: "Components", margin: float) -> float:
    """P-value of equivalence: the larger of two one-sided tests, of a loss and of a gain of `margin` or more.

    Schuirmann 1987 (TOST).
    """
    return max(noninferiority_p(delta, spread, margin), noninferiority_p(-delta, spread, margin))


def one_sided_bounds(delta: float, spread: "Components", alpha: float) -> tuple[float, float]:
    """The interval at confidence 1 - 2 `alpha` that goes with those tests.

    Its lower end is above -margin where `noninferiority_p` is below `alpha`, and all of it within the margin where
    `tost_p` is.
    """
    reach = spread.quantile(alpha) * spread.standard_error
    return delta - reach, delta + reach


def fewest_queries(margin: float, alpha: float) -> int:
    """Queries below which equivalence cannot be claimed, however alike two runs look on them.

    A change that hits a share `margin` of all queries and costs each a full point moves the mean of a measure between
    0 and 1 by `margin`. That none of n queries shows it has probability (1 - margin)^n; n has to bring that to
    `alpha` or below. The rule of three (Hanley and Lippman-Hand, JAMA 1983) is its approximation for 0.05.
    """
    return 1 if margin >= 1 else math.ceil(math.log(alpha) / math.log1p(-margin))
