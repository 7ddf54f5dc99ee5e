"""Verdicts and intervals are as often wrong as they say: simulated studies, a part of docs/statistics.md."""

import numpy as np
import pytest
from bench.calibration import DIFFICULTY, Truth, draw, expected, gain_for, reciprocal_ranks, simulate

pytestmark = pytest.mark.slow
WORKERS = 2
# Enough to find a rule that is wrong twice as often as it says; `python -m bench.calibration` simulates more.
STUDIES = 300


def test_expected_values_are_those_of_the_draws():
    rng = np.random.default_rng(0)
    for mean, spread in ((DIFFICULTY, 1.7), (0.0, 0.5), (2.0, 1.0)):
        drawn = reciprocal_ranks(rng.normal(mean, spread, 400_000))
        assert drawn.mean() == pytest.approx(expected(mean, spread), abs=4 * drawn.std() / np.sqrt(400_000))


@pytest.mark.parametrize("truth", [Truth(3000, effect=0.03), Truth(3000, moved=0.1, effect=0.01), Truth(3000, seeds=3)])
def test_simulated_differences_have_the_true_mean_and_look_like_those_of_a_study(truth):
    place, values = ("simulated", "test", "RR@10"), []
    for number in range(60):
        store = draw(truth, gain_for(truth), np.random.default_rng(number))
        values.append(store.differences(place, "v0", "base").mean(axis=0))
    values = np.concatenate(values)
    assert values.mean() == pytest.approx(truth.effect, abs=4 * values.std() / np.sqrt(len(values)))
    ties = (values == 0).mean()
    assert ties > 0.85 if truth.moved < 1 else 0.1 < ties < 0.7


def test_under_no_effect_at_most_one_family_in_twenty_makes_a_claim_and_intervals_cover():
    found = simulate(Truth(200), 1000, WORKERS)
    # One in twenty, and two standard errors of so many studies.
    assert found.family <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / found.studies)
    assert abs(found.coverage - 0.95) <= 0.015
    # HELPS and HARMS are equally rare, although differences are not symmetric.
    assert found.helps == pytest.approx(found.harms, abs=0.01)


def test_where_few_queries_move_a_family_makes_no_more_claims():
    found = simulate(Truth(300, moved=0.1), STUDIES, WORKERS)
    assert found.family <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / STUDIES)


def test_seeds_that_differ_make_no_more_claims():
    found = simulate(Truth(200, seeds=3, between_seeds=0.1), STUDIES, WORKERS)
    assert found.family <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert found.coverage >= 0.935


@pytest.mark.parametrize("effect", [0.04, 0.08])
def test_variants_that_help_alike_are_seldom_told_apart(effect):
    """Those that are compared with one another were picked by the same data, since they help."""
    found = simulate(Truth(300, effect=effect), STUDIES, WORKERS)
    assert found.helps > 0.25
    assert found.between <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize("queries", [50, 100, 597])
def test_few_queries_are_never_equivalent(queries):
    """Of a light variant most studies of this size see no difference at all."""
    assert simulate(Truth(queries, moved=0.01), 100, WORKERS).equivalent == 0


def test_what_differs_by_the_margin_is_rarely_called_equivalent():
    found = simulate(Truth(2000, effect=0.005, moved=0.1), 120, WORKERS)
    # Four variants of each study.
    assert found.equivalent <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 480)


@pytest.mark.parametrize(("queries", "effect"), [(675, 0.03), (200, 0.06)])
def test_power_is_close_to_the_predicted_one(queries, effect):
    found = simulate(Truth(queries, variants=1, effect=effect), 600, WORKERS)
    assert 0.2 < found.predicted < 0.99
    assert found.helps == pytest.approx(found.predicted, abs=0.06)
    assert found.harms <= 0.005
