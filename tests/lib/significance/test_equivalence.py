"""Two one-sided tests against statsmodels, and how many queries equivalence takes at least."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import few_values
from statsmodels.stats.weightstats import ttost_paired

from backfire.significance.equivalence import fewest_queries, tost_p
from backfire.significance.seeds import components


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.03])
def test_one_seed_is_statsmodels_tost(margin, shift):
    values = few_values(0, 200) + shift
    expected = ttost_paired(values, np.zeros(200), -margin, margin)[0]
    assert tost_p(values.mean(), components(values[None, :]), margin) == pytest.approx(expected)


def test_no_variance():
    nothing = components(np.zeros((1, 40)))
    assert [tost_p(delta, nothing, 0.01) for delta in (0.0, 0.005, 0.01, -0.5)] == [0, 0, 1, 1]


def test_seeds_that_differ_make_equivalence_harder():
    rng = np.random.default_rng(0)
    queries = rng.normal(0, 0.05, 1000)
    alike, apart = queries + np.zeros((3, 1)), queries + np.array([[-0.02], [0.0], [0.02]])
    assert tost_p(alike.mean(), components(alike), 0.005) < 0.05 < tost_p(apart.mean(), components(apart), 0.005)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.001, 0.5), st.floats(0.001, 0.2))
def test_fewer_queries_could_miss_what_moves_the_mean_by_the_margin(margin, alpha):
    enough = fewest_queries(margin, alpha)
    assert (1 - margin) ** enough <= alpha * (1 + 1e-9)
    assert (1 - margin) ** (enough - 1) >= alpha * (1 - 1e-9)


def test_the_default_margins():
    assert (fewest_queries(0.005, 0.05), fewest_queries(0.01, 0.05), fewest_queries(1.0, 0.05)) == (598, 299, 1)
