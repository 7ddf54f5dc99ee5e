"""Bootstrap intervals against independent computations."""

import random
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from simulated import few_values

from backfire.evaluation.significance.intervals import bootstrap_interval, crossed_interval, expanded
from backfire.keyed import keyed_rng


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


@pytest.mark.parametrize(("seed", "count"), [(0, 40), (1, 150)])
def test_interval_agrees_with_the_textbook_formula(seed, count):
    values = few_values(seed, count) ** 3
    low, high = bootstrap_interval(values, 0.95, 20000, keyed_rng("test", seed))
    expected = bca(values, expanded(0.95, count), 20000, seed)
    assert low == pytest.approx(expected[0], abs=0.03 * (high - low))
    assert high == pytest.approx(expected[1], abs=0.03 * (high - low))
    # Skewed data: the interval is not the symmetric one around the mean.
    assert abs((high + low) / 2 - values.mean()) > 0.01 * (high - low)


@pytest.mark.parametrize("count", [2, 5, 40, 2000])
def test_expansion_is_what_a_percentile_interval_of_normal_data_lacks(count):
    """On normal data the percentile interval of the mean at that confidence is the t interval."""
    spread = np.sqrt((count - 1) / count)  # of the bootstrap, in units of the sample's standard deviation
    reach = NormalDist().inv_cdf((1 + expanded(0.95, count)) / 2) * spread
    exact = scipy.stats.t.isf(0.025, count - 1)
    assert reach == pytest.approx(exact, rel=1e-6) or (count == 2 and reach > 4)
    assert expanded(0.95, count) > 0.95


def test_interval_covers_the_truth_about_as_often_as_it_says():
    truth = 0.1
    covered = 0
    for seed in range(300):
        sample = truth + np.random.default_rng(seed).normal(size=40)
        low, high = bootstrap_interval(sample, 0.9, 400, keyed_rng("coverage", seed))
        covered += low <= truth <= high
    assert 0.84 < covered / 300 < 0.95


def test_confidence_and_batches(monkeypatch):
    values = few_values(2, 100)
    narrow = bootstrap_interval(values, 0.8, 2000, keyed_rng(0))
    wide = bootstrap_interval(values, 0.99, 2000, keyed_rng(0))
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    monkeypatch.setattr("backfire.evaluation.significance.intervals.AT_ONCE", 1000)
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


def crossed(rng, seeds, queries, between_seeds, between_queries=0.2, noise=0.1, truth=0.0):
    return (
        truth
        + rng.normal(0, between_seeds, (seeds, 1))
        + rng.normal(0, between_queries, queries)
        + rng.normal(0, noise, (seeds, queries))
    )


def test_one_seed_is_the_interval_over_queries():
    values = few_values(6, 60)
    single = bootstrap_interval(values, 0.9, 1000, keyed_rng(0))
    assert crossed_interval(values[None, :], 0.9, 1000, keyed_rng(0)) == single


@pytest.mark.parametrize(("seeds", "between"), [(2, 0.02), (3, 0.0), (3, 0.02), (3, 0.2), (5, 0.05)])
def test_crossed_intervals_cover_other_seeds_and_other_queries(seeds, between):
    covered = 0
    for number in range(300):
        rng = np.random.default_rng([number, seeds])
        low, high = crossed_interval(crossed(rng, seeds, 80, between), 0.95, 400, rng)
        covered += low <= 0 <= high
    # Three standard errors of 300 studies below 95 %; with two or three seeds intervals may be too wide.
    assert covered / 300 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


def test_an_interval_over_queries_alone_misses_other_seeds():
    """What the crossed interval is for: where seeds differ, the means over seeds look surer than they are."""
    missed = 0
    for number in range(200):
        rng = np.random.default_rng(number)
        low, high = bootstrap_interval(crossed(rng, 3, 200, 0.05).mean(axis=0), 0.95, 400, rng)
        missed += not low <= 0 <= high
    assert missed / 200 > 0.3


@pytest.mark.filterwarnings("error")
def test_degenerate_seeds():
    values = few_values(7, 50)
    same = crossed_interval(np.stack([values, values, values]), 0.95, 2000, keyed_rng(0))
    single = bootstrap_interval(values, 0.95, 2000, keyed_rng(1))
    assert same == pytest.approx(single, abs=0.2 * (single[1] - single[0]))
    assert crossed_interval(np.zeros((3, 20)), 0.95, 200, keyed_rng(0)) == (0, 0)
    assert crossed_interval(np.array([[0.1], [0.2]]), 0.95, 200, keyed_rng(0)) is None


def test_crossed_blocks_bound_the_memory(monkeypatch):
    values = crossed(np.random.default_rng(0), 3, 100, 0.02)
    whole = crossed_interval(values, 0.9, 3000, keyed_rng(0))
    monkeypatch.setattr("backfire.evaluation.significance.intervals.AT_ONCE", 1000)
    assert crossed_interval(values, 0.9, 3000, keyed_rng(0)) == pytest.approx(whole, abs=0.05 * np.ptp(whole))
