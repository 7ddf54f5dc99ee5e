"""What so many queries can settle, held against simulated comparisons."""

import numpy as np
import pytest

from backfire.evaluation.significance.power import minimum_detectable_effect
from backfire.forecast.power import RATIOS, power


def test_the_effect_is_found_as_often_as_was_wanted():
    """Differences with the spread that is assumed and a mean of that effect: eight of ten pass test and margin."""
    rng = np.random.default_rng(0)
    values = (rng.random(900) < 0.6).astype(float)
    found = power(values, "RR@10", 5, 0.05, 0.005, 0.8)
    assert list(found.effects) == list(RATIOS) and found.claims == 5
    for name, ratio in RATIOS.items():
        spread, effect = ratio * values.std(ddof=1), found.effects[name]
        means = rng.normal(effect, spread / 30, 4000)
        errors = spread / 30 * np.sqrt(rng.chisquare(899, 4000) / 899)
        passed = (np.abs(means / errors) > 2.5758) & (means > 0.005)
        assert passed.mean() == pytest.approx(0.8, abs=0.03)
        assert effect == minimum_detectable_effect(spread / 30, 0.01, 0.005, 0.8)


def test_so_many_queries_as_are_told_are_enough():
    rng = np.random.default_rng(1)
    values = (rng.random(400) < 0.5).astype(float)
    found = power(values, "RR@10", 1, 0.05, 0.02, 0.8)
    for name, ratio in RATIOS.items():
        count, spread = found.needed[name], ratio * values.std(ddof=1)
        error = spread / np.sqrt(count)
        helped = rng.normal(0.04, error, 4000)
        assert (helped > max(1.96 * error, 0.02)).mean() >= 0.79
    few = power(values, "RR@10", 1, 0.05, 1e-6, 0.8)
    assert set(few.needed.values()) == {None}


def test_one_query_says_nothing_and_does_not_fail():
    found = power([0.5], "RR@10", 1, 0.05, 0.01, 0.8)
    assert found.queries == 1 and all(effect >= 0.01 for effect in found.effects.values())
