"""Two one-sided tests against statsmodels, and how many queries equivalence takes at least."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import few_values
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from backfire.evaluation.significance.equivalence import fewest_queries, noninferiority_p, one_sided_bounds, tost_p
from backfire.evaluation.significance.seeds import components


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.03])
def test_one_seed_is_statsmodels_tost(margin, shift):
    values = few_values(0, 200) + shift
    expected = ttost_paired(values, np.zeros(200), -margin, margin)[0]
    assert tost_p(values.mean(), components(values[None, :]), margin) == pytest.approx(expected)


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.03])
def test_one_seed_is_statsmodels_one_sided_test_and_its_interval(margin, shift):
    values = few_values(0, 200) + shift
    spread, described = components(values[None, :]), DescrStatsW(values)
    expected = described.ttest_mean(-margin, alternative="larger")[1]
    assert noninferiority_p(values.mean(), spread, margin) == pytest.approx(expected)
    bounds = one_sided_bounds(values.mean(), spread, 0.05)
    assert bounds == pytest.approx(described.tconfint_mean(0.1))
    assert (bounds[0] > -margin) == (expected < 0.05)
    assert (-margin < bounds[0] and bounds[1] < margin) == (tost_p(values.mean(), spread, margin) < 0.05)


def test_a_gain_is_no_loss_however_large():
    values = few_values(0, 200) + 0.5
    spread = components(values[None, :])
    assert noninferiority_p(values.mean(), spread, 0.01) < 1e-6 < 0.99 < tost_p(values.mean(), spread, 0.01)


def test_seeds_that_differ_widen_the_one_sided_interval():
    rng = np.random.default_rng(0)
    queries = rng.normal(0, 0.05, 1000)
    alike, apart = queries + np.zeros((3, 1)), queries + np.array([[-0.02], [0.0], [0.02]])
    (low, high), (lower, higher) = (one_sided_bounds(each.mean(), components(each), 0.05) for each in (alike, apart))
    assert lower < low < high < higher
    assert noninferiority_p(apart.mean(), components(apart), 0.005) > 0.05


def test_no_variance():
    nothing = components(np.zeros((1, 40)))
    assert [tost_p(delta, nothing, 0.01) for delta in (0.0, 0.005, 0.01, -0.5)] == [0, 0, 1, 1]
    assert [noninferiority_p(delta, nothing, 0.01) for delta in (0.5, 0.0, -0.005, -0.01)] == [0, 0, 0, 1]


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
