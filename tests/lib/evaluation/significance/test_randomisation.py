"""Sign-flip tests, alone and as a family, against enumeration in exact arithmetic, scipy and simulation."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import few_values

from backfire.evaluation.significance.randomisation import sign_flip_tests
from backfire.keyed import keyed_rng


def alone(values, flips, rng):
    """The p-value of one variant; as a family of one it is the same."""
    (single,), (family,) = sign_flip_tests(values[:, None], flips, rng)
    assert single == family
    return single


def enumerated(values):
    """The share of all sign assignments with a sum as extreme as the one found, in exact arithmetic."""
    exact = [Fraction(value) for value in values]
    sums = [
        sum(s * v for s, v in zip(signs, exact, strict=True)) for signs in itertools.product((1, -1), repeat=len(exact))
    ]
    return sum(abs(s) >= abs(sum(exact)) for s in sums) / len(sums)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, -0.1, -0.2, 1 / 3, -1.0]), min_size=1, max_size=9))
def test_few_queries_are_enumerated(values):
    """Steps of 0.1 add up to sums that differ in the last bit; those count as equal."""
    coarse = [Fraction(value).limit_denominator(30) for value in values]
    assert alone(np.array(values), 1000, keyed_rng(0)) == enumerated(coarse)


def test_enumeration_in_blocks(monkeypatch):
    values = few_values(3, 14)
    whole = alone(values, 20000, keyed_rng(0))
    monkeypatch.setattr("backfire.evaluation.significance.randomisation.AT_ONCE", 100)
    assert alone(values, 20000, keyed_rng(0)) == whole


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.06])
def test_sampled_p_agrees_with_scipy(shift):
    values = few_values(4, 200) + shift
    resamples = 20000
    found = alone(values, resamples, keyed_rng("test"))
    reference = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=resamples, vectorized=True, batch=1000, rng=5
    )
    spread = np.sqrt(max(reference.pvalue, 1 / resamples) / resamples)
    assert found == pytest.approx(reference.pvalue, abs=6 * spread)


def test_sampled_p_has_a_floor_and_a_ceiling():
    assert alone(np.full(40, 0.5), 999, keyed_rng(0)) == 1 / 1000
    assert alone(np.zeros(40), 999, keyed_rng(0)) == 1
    assert alone(np.array([0.7]), 999, keyed_rng(0)) == 1
    balanced = np.tile([0.5, -0.5], 20)
    assert alone(balanced, 999, keyed_rng(0)) == 1
    assert alone(-few_values(5, 100), 999, keyed_rng(1)) == alone(few_values(5, 100), 999, keyed_rng(1))


def test_p_is_uniform_where_nothing_differs():
    p_values = [alone(np.random.default_rng(seed).normal(size=30), 499, keyed_rng("null", seed)) for seed in range(400)]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


def enumerated_maxt(values):
    """Step-down maxT over all sign assignments, by its definition: Ge, Dudoit and Speed (2003), box 1."""
    statistics = []
    for signs in itertools.product((1, -1), repeat=len(values)):
        flipped = np.array(signs)[:, None] * values
        statistics.append(np.abs(scipy.stats.ttest_1samp(flipped, 0).statistic))
    statistics = np.array(statistics)
    observed = statistics[0]
    order = np.argsort(-observed)
    adjusted, running = np.empty(values.shape[1]), 0.0
    for rank, column in enumerate(order):
        larger = statistics[:, order[rank:]].max(axis=1) >= observed[column] * (1 - 1e-9)
        running = max(running, larger.mean())
        adjusted[column] = running
    return adjusted


@pytest.mark.parametrize("seed", range(5))
def test_a_family_agrees_with_the_definition_by_t_statistics(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal([0.0, 0.5, 1.0], [0.1, 1.0, 2.0], size=(9, 3))
    single, family = sign_flip_tests(values, 1000, rng)
    assert family == pytest.approx(enumerated_maxt(values))
    for column in range(3):
        assert single[column] == enumerated(values[:, column])


def test_one_more_variant_changes_no_p_of_its_own():
    values = np.stack([few_values(seed, 80) for seed in range(3)], axis=1)
    single, family = sign_flip_tests(values, 2000, keyed_rng("same"))
    fewer, smaller = sign_flip_tests(values[:, 1:], 2000, keyed_rng("same"))
    assert (single[1:] == fewer).all()
    assert (family[1:] >= smaller).all()
    assert (family >= single).all()


def test_what_variants_share_makes_a_family_milder_than_holm():
    rng = np.random.default_rng(8)
    common = rng.normal(0.25, 1.0, size=(60, 1))
    values = common + rng.normal(0, 0.05, size=(60, 6))
    single, family = sign_flip_tests(values, 5000, rng)
    assert family.max() < 2 * single.max() < 6 * single.max()


def test_a_variant_that_changes_few_queries_has_an_exact_p_in_any_company():
    few = np.zeros(100)
    few[:4] = 0.5
    single, _ = sign_flip_tests(np.stack([few, few_values(1, 100)], axis=1), 1000, keyed_rng(0))
    assert single[0] == 2 / 16


@pytest.mark.filterwarnings("error")
def test_families_without_any_difference():
    assert [p.tolist() for p in sign_flip_tests(np.zeros((30, 3)), 500, keyed_rng(0))] == [[1, 1, 1], [1, 1, 1]]
    values = np.stack([np.zeros(50), few_values(2, 50) + 0.3], axis=1)
    single, family = sign_flip_tests(values, 500, keyed_rng(0))
    assert (single[0], family[0]) == (1, 1)
    assert family[1] == single[1] == 1 / 501
