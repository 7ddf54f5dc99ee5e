"""Whether a difference is too small to matter: two one-sided tests against a margin."""

import math

from backfire.significance.seeds import Components


def tost_p(delta: float, spread: Components, margin: float) -> float:
    """P-value of equivalence: the larger of two one-sided t tests of a difference beyond -`margin` and `margin`.

    Schuirmann 1987 (TOST); the standard error and its quantiles are those of `spread`, so that with several seeds
    equivalence is claimed for seeds in general. Without any variance it is 0 inside the margin, else 1: see
    `fewest_queries` for why that proves nothing by itself.
    """
    error = spread.standard_error
    if not error:
        return 0.0 if abs(delta) < margin else 1.0
    return spread.tail((margin - abs(delta)) / error)


def fewest_queries(margin: float, alpha: float) -> int:
    """Queries below which equivalence cannot be claimed, however alike two runs look on them.

    A change that hits a share `margin` of all queries and costs each a full point moves the mean of a measure between
    0 and 1 by `margin`. That none of n queries shows it has probability (1 - margin)^n; n has to bring that to
    `alpha` or below. The rule of three (Hanley and Lippman-Hand, JAMA 1983) is its approximation for 0.05.
    """
    return 1 if margin >= 1 else math.ceil(math.log(alpha) / math.log1p(-margin))
