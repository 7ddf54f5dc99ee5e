"""Predicted power against statsmodels and against simulated studies."""

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.power import TTestPower

from backfire.evaluation.significance.equivalence import fewest_queries, tost_p
from backfire.evaluation.significance.power import largest_error, minimum_detectable_effect, needed, power
from backfire.evaluation.significance.seeds import Components, components


@pytest.mark.parametrize("effect", [0.01, 0.02, 0.04])
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_without_a_margin_it_is_the_power_of_the_t_test(effect, alpha):
    expected = TTestPower().power(effect / 0.3, nobs=2000, alpha=alpha, alternative="larger", df=1999)
    two_sided = TTestPower().power(effect / 0.3, nobs=2000, alpha=alpha / 2, alternative="larger", df=1999)
    found = power(effect, 0.3 / np.sqrt(2000), alpha, 0.0)
    assert found == pytest.approx(two_sided, abs=0.002)
    assert found < expected


@pytest.mark.parametrize("margin", [0.0, 0.005, 0.05])
@pytest.mark.parametrize("error", [0.001, 0.01])
def test_the_minimum_detectable_effect_has_the_power_wanted(margin, error):
    effect = minimum_detectable_effect(error, 0.05, margin, 0.8)
    assert power(effect, error, 0.05, margin) == pytest.approx(0.8)
    assert effect > margin


def test_more_claims_and_smaller_margins_ask_for_more():
    errors = [largest_error(0.05, claims, 0.005, 0.8) for claims in (1, 4, 1000)]
    assert errors == sorted(errors, reverse=True)
    assert largest_error(0.05, 1, 0.01, 0.8) > largest_error(0.05, 1, 0.005, 0.8) > largest_error(0.05, 1, 0.005, 0.95)


@pytest.mark.parametrize("truth", ["none", "twice the margin"])
def test_with_the_queries_needed_a_study_is_settled_as_often_as_wanted(truth):
    """Normal differences of the spread that was planned with; the rule of `verdict` for one claim."""
    margin, alpha, wanted, sd = 0.02, 0.05, 0.8, 0.2
    queries, seeds = needed(Components(sd**2, None, 0.0, 1, 50), alpha, 1, margin, wanted)
    assert seeds is None and queries > fewest_queries(margin, alpha)
    rng, settled, studies = np.random.default_rng(0), 0, 1500
    for _ in range(studies):
        sample = rng.normal(0 if truth == "none" else 2 * margin, sd, queries)
        if truth == "none":
            reach = norm.isf(alpha / 2) * sample.std(ddof=1) / np.sqrt(queries)
            inside = abs(sample.mean()) + reach < margin
            settled += inside and tost_p(sample.mean(), components(sample[None, :]), margin) < alpha
        else:
            t = sample.mean() / (sample.std(ddof=1) / np.sqrt(queries))
            settled += t > 1.96 and sample.mean() >= margin
    assert settled / studies > wanted - 3 * np.sqrt(wanted * (1 - wanted) / studies)
    if truth == "none":
        assert settled / studies < wanted + 0.05


def test_seeds_that_differ_ask_for_more_seeds_and_not_for_queries_alone():
    queries, seeds = needed(Components(0.04, 0.0001, 0.01, 3, 500), 0.05, 4, 0.005, 0.8)
    assert seeds > 3
    room = largest_error(0.05, 4, 0.005, 0.8) ** 2
    assert Components(0.04, 0.0001, 0.01, seeds, queries).variance() <= room * (1 + 1e-9)
    assert Components(0.04, 0.0001, 0.01, 3, 10**9).variance() > room
    assert needed(Components(0.04, 0.0, 0.01, 3, 500), 0.05, 4, 0.005, 0.8)[1] == 3


def test_no_spread_asks_for_the_fewest_and_too_much_for_nothing():
    assert needed(Components(0.0, None, 0.0, 1, 10), 0.05, 1, 0.005, 0.8) == (598, None)
    assert needed(Components(0.1, 1.0, 0.1, 3, 10), 0.05, 1, 0.005, 0.8) == (None, None)
    assert needed(Components(1.0, None, 0.0, 1, 10), 0.05, 1, 0.0001, 0.8) == (None, None)
