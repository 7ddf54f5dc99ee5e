"""Effect size and t test against scipy and the definition."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import few_values

from backfire.evaluation.significance.effects import cohen_d, crossed_t_p, paired_t_p
from backfire.evaluation.significance.seeds import components


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40))
def test_the_t_test_is_scipys_on_both_sides(pairs):
    tuned, base = np.array(pairs).T
    differences = tuned - base
    if np.ptp(differences) > 1e-6:
        assert paired_t_p(differences) == pytest.approx(scipy.stats.ttest_rel(tuned, base).pvalue, rel=1e-6)


def test_effect_size_is_t_over_the_root_of_n():
    values = few_values(0, 90)
    t = scipy.stats.ttest_1samp(values, 0).statistic
    assert cohen_d(values) == pytest.approx(t / np.sqrt(90))


@pytest.mark.filterwarnings("error")
def test_without_spread():
    assert (cohen_d(np.zeros(9)), paired_t_p(np.zeros(9))) == (0, 1)
    assert (cohen_d(np.full(9, 0.5)), paired_t_p(np.full(9, 0.5))) == (None, None)
    assert (cohen_d(np.array([0.5])), paired_t_p(np.array([0.5]))) == (None, None)


def test_over_seeds_and_queries_the_test_holds_its_level():
    """Where seeds differ, a test over queries alone finds effects that other seeds would not show."""
    crossed_false, queries_false = 0, 0
    for number in range(600):
        rng = np.random.default_rng(number)
        values = rng.normal(0, 0.05, (3, 1)) + rng.normal(0, 0.2, 100) + rng.normal(0, 0.1, (3, 100))
        crossed_false += crossed_t_p(values.mean(), components(values)) < 0.05
        queries_false += paired_t_p(values.mean(axis=0)) < 0.05
    assert crossed_false / 600 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600) < queries_false / 600


def test_the_test_over_seeds_and_queries_where_it_is_simple():
    values = few_values(1, 40)
    assert crossed_t_p(values.mean(), components(values[None, :])) is None
    # Seeds that agree add nothing; seeds that are all there is are a t test of their means.
    alike = crossed_t_p(values.mean(), components(np.stack([values, values])))
    assert alike == pytest.approx(paired_t_p(values))
    means = np.array([0.1, 0.3, 0.2])
    expected = scipy.stats.ttest_1samp(means, 0).pvalue
    assert crossed_t_p(0.2, components(np.repeat(means[:, None], 50, axis=1))) == pytest.approx(expected)
    assert crossed_t_p(0.0, components(np.zeros((2, 9)))) == 1
    assert crossed_t_p(0.5, components(np.full((2, 9), 0.5))) == 0
