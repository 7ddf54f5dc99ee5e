"""Variance components of a crossed design."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from backfire.evaluation.significance.seeds import Components, components


def crossed(rng, seeds, queries, seed, query, noise):
    return rng.normal(0, seed, (seeds, 1)) + rng.normal(0, query, (1, queries)) + rng.normal(0, noise, (seeds, queries))


def test_one_seed_is_the_standard_error_of_the_mean():
    values = np.random.default_rng(0).normal(size=50)
    found = components(values[None, :])
    assert found.standard_error == pytest.approx(scipy.stats.sem(values))
    assert (found.seed, found.seed_share) == (None, None)
    assert found.quantile(0.025) == pytest.approx(scipy.stats.t.isf(0.025, 49))
    assert found.tail(2.0) == pytest.approx(scipy.stats.t.sf(2.0, 49))


def test_components_are_unbiased():
    rng = np.random.default_rng(1)
    found = [components(crossed(rng, 4, 60, 0.5, 1.0, 0.7)) for _ in range(800)]
    assert np.mean([each.seed for each in found]) == pytest.approx(0.25, rel=0.1)
    assert np.mean([each.query for each in found]) == pytest.approx(1.0, rel=0.05)
    assert np.mean([each.residual for each in found]) == pytest.approx(0.49, rel=0.03)
    means = [crossed(rng, 4, 60, 0.5, 1.0, 0.7).mean() for _ in range(4000)]
    assert np.mean([each.variance() for each in found]) == pytest.approx(np.var(means), rel=0.12)


def test_mean_squares_agree_with_an_analysis_of_variance():
    pd = pytest.importorskip("pandas")
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    values = crossed(np.random.default_rng(2), 3, 12, 0.5, 1.0, 0.7)
    rows = [(seed, query, values[seed, query]) for seed in range(3) for query in range(12)]
    table = anova_lm(ols("d ~ C(s) + C(q)", pd.DataFrame(rows, columns=["s", "q", "d"])).fit())
    squares = table["mean_sq"]
    found = components(values)
    assert found.residual == pytest.approx(squares["Residual"])
    assert found.query == pytest.approx((squares["C(q)"] - squares["Residual"]) / 3)
    assert found.seed == pytest.approx(max(0, (squares["C(s)"] - squares["Residual"]) / 12))


def test_the_share_of_seeds_runs_from_none_to_all():
    rng = np.random.default_rng(3)
    assert components(crossed(rng, 5, 400, 0.0, 1.0, 0.5)).seed_share < 0.2
    assert components(crossed(rng, 5, 400, 2.0, 0.1, 0.1)).seed_share > 0.99
    only_seeds = components(crossed(rng, 5, 400, 2.0, 0.1, 0.1))
    assert only_seeds.quantile(0.025) == pytest.approx(scipy.stats.t.isf(0.025, 4), rel=0.01)
    assert components(np.zeros((3, 20))).seed_share is None


def test_more_queries_do_not_help_against_seeds():
    found = components(crossed(np.random.default_rng(4), 3, 100, 0.5, 1.0, 0.1))
    assert found.variance(queries=10**9) == pytest.approx(found.seed / 3)
    assert found.variance(queries=10**9, seeds=10**9) < 1e-6


@given(st.floats(-30, 30), st.integers(2, 6), st.floats(0, 0.2))
def test_tails_and_quantiles_are_inverse(errors, seeds, between):
    found = Components(0.04, between, 0.01, seeds, 200)
    tail = found.tail(errors)
    assert 0 < tail <= 1 and tail == pytest.approx(1 - found.tail(-errors), abs=1e-12)
    if 1e-12 < tail < 0.5:
        assert found.quantile(tail) == pytest.approx(errors, rel=1e-6)
