"""How large a mean difference is by its own spread, and the paired t test of it."""

import numpy as np


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
