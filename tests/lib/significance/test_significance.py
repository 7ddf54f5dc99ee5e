"""Intervals and p-values against independent computations."""

import itertools
import random
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.keyed import keyed_rng
from backfire.significance.families import benjamini_hochberg, holm
from backfire.significance.intervals import bootstrap_interval
from backfire.significance.randomisation import sign_flip_p


def differences(seed, count):
    """Like per-query differences of RR@10: many zeros, the rest differences of reciprocal ranks."""
    rng = np.random.default_rng(seed)
    values = [0.0, 1.0, 1 / 2, 1 / 3, 1 / 5, 1 / 10]
    return np.where(rng.random(count) < 0.5, 0, rng.choice(values, count) - rng.choice(values, count) + 0.02)


def bca(values, confidence, resamples, seed):
    """Efron and Tibshirani, An Introduction to the Bootstrap (1993), equations 14.9, 14.10, 14.14 and 14.15."""
    random.seed(seed)
    values, normal = list(map(float, values)), NormalDist()
    count, mean = len(values), sum(values) / len(values)
    means = sorted(sum(random.choices(values, k=count)) / count for _ in range(resamples))
    below = (sum(m < mean for m in means) + sum(m <= mean for m in means)) / 2
    bias = normal.inv_cdf(below / resamples)
    jackknife = [(sum(values) - value) / (count - 1) for value in values]
    centre = sum(jackknife) / count
    acceleration = sum((centre - j) ** 3 for j in jackknife) / (6 * sum((centre - j) ** 2 for j in jackknife) ** 1.5)
    bounds = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + normal.inv_cdf(tail)
        bounds.append(means[int(normal.cdf(bias + z / (1 - acceleration * z)) * resamples)])
    return bounds


def enumerated(values):
    """The share of all sign assignments with a sum as extreme as the one found, in exact arithmetic."""
    exact = [Fraction(value) for value in values]
    sums = [
        sum(s * v for s, v in zip(signs, exact, strict=True)) for signs in itertools.product((1, -1), repeat=len(exact))
    ]
    return sum(abs(s) >= abs(sum(exact)) for s in sums) / len(sums)


@pytest.mark.parametrize(("seed", "count"), [(0, 40), (1, 150)])
def test_interval_agrees_with_the_textbook_formula(seed, count):
    values = differences(seed, count) ** 3
    low, high = bootstrap_interval(values, 0.95, 20000, keyed_rng("test", seed))
    expected = bca(values, 0.95, 20000, seed)
    assert low == pytest.approx(expected[0], abs=0.03 * (high - low))
    assert high == pytest.approx(expected[1], abs=0.03 * (high - low))
    # Skewed data: the interval is not the symmetric one around the mean.
    assert abs((high + low) / 2 - values.mean()) > 0.01 * (high - low)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    truth = 0.1
    covered = 0
    for seed in range(300):
        sample = truth + np.random.default_rng(seed).normal(size=40)
        low, high = bootstrap_interval(sample, 0.9, 400, keyed_rng("coverage", seed))
        covered += low <= truth <= high
    assert 0.84 < covered / 300 < 0.95


def test_confidence_and_batches(monkeypatch):
    values = differences(2, 100)
    narrow = bootstrap_interval(values, 0.8, 2000, keyed_rng(0))
    wide = bootstrap_interval(values, 0.99, 2000, keyed_rng(0))
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    monkeypatch.setattr("backfire.significance.intervals.AT_ONCE", 1000)
    assert bootstrap_interval(values, 0.8, 2000, keyed_rng(0)) == pytest.approx(narrow, abs=0.05 * np.ptp(narrow))


@pytest.mark.filterwarnings("error")
def test_degenerate_differences_have_a_defined_interval():
    assert bootstrap_interval(np.array([0.5]), 0.95, 200, keyed_rng(0)) is None
    assert bootstrap_interval(np.zeros(30), 0.95, 200, keyed_rng(0)) == (0, 0)
    assert bootstrap_interval(np.full(30, 0.25), 0.95, 200, keyed_rng(0)) == (0.25, 0.25)
    low, high = bootstrap_interval(np.array([0.0, 0.0, 0.0, 1.0]), 0.95, 500, keyed_rng(0))
    assert 0 <= low < 0.25 < high <= 1
    low, high = bootstrap_interval(np.array([0.1, 0.2]), 0.95, 500, keyed_rng(0))
    assert 0.1 <= low < high <= 0.2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, -0.1, -0.2, 1 / 3, -1.0]), min_size=1, max_size=9))
def test_few_queries_are_enumerated(values):
    """Steps of 0.1 add up to sums that differ in the last bit; those count as equal."""
    coarse = [Fraction(value).limit_denominator(30) for value in values]
    assert sign_flip_p(np.array(values), 1000, keyed_rng(0)) == enumerated(coarse)


def test_enumeration_in_blocks(monkeypatch):
    values = differences(3, 14)
    whole = sign_flip_p(values, 20000, keyed_rng(0))
    monkeypatch.setattr("backfire.significance.randomisation.AT_ONCE", 100)
    assert sign_flip_p(values, 20000, keyed_rng(0)) == whole


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.06])
def test_sampled_p_agrees_with_scipy(shift):
    values = differences(4, 200) + shift
    resamples = 20000
    found = sign_flip_p(values, resamples, keyed_rng("test"))
    reference = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=resamples, vectorized=True, batch=1000, rng=5
    )
    spread = np.sqrt(max(reference.pvalue, 1 / resamples) / resamples)
    assert found == pytest.approx(reference.pvalue, abs=6 * spread)


def test_sampled_p_has_a_floor_and_a_ceiling():
    assert sign_flip_p(np.full(40, 0.5), 999, keyed_rng(0)) == 1 / 1000
    assert sign_flip_p(np.zeros(40), 999, keyed_rng(0)) == 1
    assert sign_flip_p(np.array([0.7]), 999, keyed_rng(0)) == 1
    balanced = np.tile([0.5, -0.5], 20)
    assert sign_flip_p(balanced, 999, keyed_rng(0)) == 1
    assert sign_flip_p(-differences(5, 100), 999, keyed_rng(1)) == sign_flip_p(differences(5, 100), 999, keyed_rng(1))


def test_p_is_uniform_where_nothing_differs():
    p_values = [
        sign_flip_p(np.random.default_rng(seed).normal(size=30), 499, keyed_rng("null", seed)) for seed in range(400)
    ]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_corrections_agree_with_their_definitions(p_values):
    count = len(p_values)
    order = sorted(range(count), key=lambda index: p_values[index])
    down, up, running = [0.0] * count, [1.0] * count, 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        down[index] = running
    running = 1.0
    for rank, index in reversed(list(enumerate(order, start=1))):
        running = min(running, p_values[index] * count / rank)
        up[index] = running
    assert holm(p_values) == pytest.approx(down)
    assert benjamini_hochberg(p_values) == pytest.approx(up)


def test_corrections_of_no_test_at_all():
    assert holm([]) == benjamini_hochberg([]) == []


def test_random_streams_depend_on_the_whole_key_and_nothing_else():
    first = keyed_rng(0, "full_hard", "test").integers(1 << 60, size=4).tolist()
    keyed_rng(0, "other").random(100)
    assert keyed_rng(0, "full_hard", "test").integers(1 << 60, size=4).tolist() == first
    assert keyed_rng(0, "full_hardt", "est").integers(1 << 60, size=4).tolist() != first
    assert keyed_rng(1, "full_hard", "test").integers(1 << 60, size=4).tolist() != first
