"""Effect size and t test against scipy and the definition."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import few_values

from backfire.significance.effects import cohen_d, paired_t_p


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
