"""The test of dependence: its correlation, its p-value where all permutations are known, and its false rate."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import permutation_test, rankdata, spearmanr

from backfire.explaining.queries.interaction import rank_dependence
from backfire.keyed import keyed_rng


def test_the_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 80).astype(float), rng.integers(0, 9, 80).astype(float)
    rho, _ = rank_dependence(x, y, 99, rng)
    assert rho == pytest.approx(spearmanr(x, y).statistic)


def test_with_few_values_every_permutation_counts():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 5, 4])

    def statistic(order):
        left, right = x[list(order)] - 3, y - 3
        return left @ right / np.sqrt(left**2 @ right**2)

    observed = statistic(range(5))
    reached = [statistic(order) >= observed - 1e-12 for order in permutations(range(5))]
    _, p = rank_dependence(x, y, 1000, np.random.default_rng(0))
    assert p == pytest.approx(2 * np.mean(reached))


def test_the_smallest_p_is_never_zero():
    x = np.arange(100.0)
    assert rank_dependence(x, -x, 199, keyed_rng(1)) == (pytest.approx(-1), pytest.approx(2 / 200))


def test_a_constant_side_has_no_test():
    x = np.arange(10.0)
    assert rank_dependence(x, np.zeros(10), 99, keyed_rng(1)) is None
    assert rank_dependence(np.ones(10), x, 99, keyed_rng(1)) is None
    assert rank_dependence(x[:2], x[:2], 99, keyed_rng(1)) is None


def uneven(case):
    """Effects that are 0 on average whatever the factor, but spread far more where it is high or low."""
    rng = keyed_rng("uneven", case)
    factor = rng.normal(size=120)
    return factor, rng.normal(size=120) * np.abs(factor) ** 3


def plain_p(factor, effect, rng):
    x, y = rankdata(factor), rankdata(effect)
    return permutation_test(
        (x,), lambda sample, axis: sample @ y, permutation_type="pairings", vectorized=True, n_resamples=199, rng=rng
    ).pvalue


def test_uneven_spread_is_not_taken_for_dependence():
    robust = [rank_dependence(*uneven(case), 199, keyed_rng("p", case))[1] for case in range(200)]
    plain = [plain_p(*uneven(case), keyed_rng("p", case)) for case in range(200)]
    # The bound is the level and 2.6 standard errors of the share of 200.
    assert np.mean(np.array(robust) < 0.05) <= 0.09
    assert np.mean(np.array(plain) < 0.05) > 0.12, "else this test would hold any test to nothing"


def test_dependence_is_found():
    rng = np.random.default_rng(3)
    found = []
    for case in range(50):
        factor = rng.normal(size=120)
        found.append(rank_dependence(factor, rng.normal(size=120) + 0.5 * factor, 199, keyed_rng(case))[1] < 0.05)
    assert np.mean(found) > 0.95
