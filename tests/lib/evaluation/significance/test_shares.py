"""Shares of clustered things: Clopper and Pearson's interval where nothing is clustered, and coverage where it is."""

import numpy as np
import pytest
import scipy.stats

from backfire.evaluation.significance.shares import Share, clustered_share


def clopper_pearson(share, size, alpha=0.05):
    """The textbook's formula, by quantiles of the beta distribution, for any size."""
    yes, no = share * size, (1 - share) * size
    low = scipy.stats.beta.ppf(alpha / 2, yes, no + 1) if yes > 0 else 0.0
    return low, scipy.stats.beta.ppf(1 - alpha / 2, yes + 1, no) if no > 0 else 1.0


@pytest.mark.parametrize(("true", "things"), [(3, 40), (20, 40), (39, 40), (1, 1000)])
def test_things_on_their_own(true, things):
    found = clustered_share(np.arange(things) < true, np.arange(things), 0.05)
    assert found.value == true / things
    assert found[1:] == pytest.approx(clopper_pearson(true / things, things - 1), rel=1e-9)


@pytest.mark.parametrize("true", [0, 1])
def test_where_all_are_alike_each_cluster_counts_as_one(true):
    found = clustered_share(np.full(90, true, bool), np.repeat(np.arange(30), 3), 0.05)
    assert found == pytest.approx((true, *clopper_pearson(true, 30)))


def test_clusters_of_copies_count_as_one_each():
    """Three copies of everything tell no more than one of them."""
    true = np.arange(50) < 12
    once = clustered_share(true, np.arange(50), 0.05)
    thrice = clustered_share(np.repeat(true, 3), np.repeat(np.arange(50), 3), 0.05)
    assert thrice.value == once.value
    # But for the correction of the degrees of freedom, of 149 things in 50 clusters.
    factor = (scipy.stats.t.ppf(0.025, 149) / scipy.stats.t.ppf(0.025, 49)) ** 2
    assert thrice[1:] == pytest.approx(clopper_pearson(12 / 50, 49 * factor), rel=1e-9)


def test_the_interval_holds_the_truth_where_clusters_differ():
    """Beta-binomial clusters: a share of 0.1 on average, that differs widely between queries."""
    rng, held, simple = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        shares = rng.beta(0.2, 1.8, 60)
        true = rng.random((60, 5)) < shares[:, None]
        found = clustered_share(true.ravel(), np.repeat(np.arange(60), 5), 0.05)
        held += found.low <= 0.1 <= found.high
        low, high = clopper_pearson(true.mean(), true.size)
        simple += low <= 0.1 <= high
    assert held >= 930 and simple < 900, "without clusters it would miss too often"


def test_nothing_has_no_share():
    assert clustered_share(np.array([], bool), np.array([], int), 0.05) == Share(None, None, None)
    found = clustered_share(np.array([True]), np.array([0]), 0.05)
    assert found.value == 1 and found.high == 1 and found.low < 0.1
