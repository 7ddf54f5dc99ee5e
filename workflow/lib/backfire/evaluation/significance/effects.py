"""How large a mean difference is by its own spread, and t tests of it over queries and over seeds and queries."""

import numpy as np

from backfire.evaluation.significance.seeds import Components


def constant(differences: np.ndarray) -> bool:
    """Whether all differences are one number, up to the last bits of sums in another order."""
    return bool(np.ptp(differences) <= 1e-12 * np.abs(differences).max())


def cohen_d(differences: np.ndarray) -> float | None:
    """Effect size d_z: mean over standard deviation of paired `differences` (Cohen 1988; Lakens 2013).

    0 where nothing differs; None for a single query or equal differences, which have no spread to compare with.
    """
    if not differences.any():
        return 0.0
    if constant(differences):
        return None
    return float(differences.mean() / differences.std(ddof=1))


def paired_t_p(differences: np.ndarray) -> float | None:
    """Two-sided p-value of the paired t test (Student 1908), by `scipy.stats.ttest_1samp`; None as in `cohen_d`.

    1 where nothing differs.
    """
    from scipy.stats import ttest_1samp

    if not differences.any():
        return 1.0
    if constant(differences):
        return None
    return float(ttest_1samp(differences, 0).pvalue)


def crossed_t_p(delta: float, spread: Components) -> float | None:
    """Two-sided p-value of a mean difference `delta` over seeds and queries, both random; None with one seed.

    A t test by the standard error and the quantiles of `spread`. It asks whether other seeds on other queries would
    differ from 0 too, where a test over queries takes the seeds as given.
    """
    if spread.seed is None:
        return None
    error = spread.standard_error
    if not error:
        return 1.0 if delta == 0 else 0.0
    return 2 * spread.tail(abs(delta) / error)
