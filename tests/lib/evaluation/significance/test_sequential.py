"""A test that is asked at every look: how often it is wrong over all of them, and what it finds."""

import numpy as np

from backfire.evaluation.significance.sequential import SequentialFall

QUERIES, LOOKS, ALPHA = 120, 8, 0.05
RANKS = np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7, 1 / 8, 1 / 9, 1 / 10, 0.0])


def reciprocal_ranks(latent):
    """RR@10 of queries whose answer's rank rises with a latent number."""
    return RANKS[np.clip(np.floor(np.exp(latent)).astype(int), 0, 10)]


def training(rng, fall=0.0, memory=0.9):
    """Reciprocal ranks (1 + looks, queries) of a training: each query has its difficulty and wanders from look to look.

    What a look sees depends on the one before, the start is a look like any other, and ranks make the differences lumpy
    and lopsided: none of it is a coin toss, as the test assumes. With `fall` ranks rise by that much from look to look.
    """
    difficulty, state = rng.normal(0.6, 0.9, QUERIES), rng.normal(0, 0.5, QUERIES)
    values = []
    for look in range(1 + LOOKS):
        values.append(reciprocal_ranks(difficulty + state + fall * look))
        state = memory * state + np.sqrt(1 - memory**2) * rng.normal(0, 0.5, QUERIES)
    return np.array(values)


def alarms(values, alpha=ALPHA, flips=999):
    """The looks, from 1, that gave an alarm."""
    test = SequentialFall(QUERIES, LOOKS, alpha, flips)
    return [number for number, look in enumerate(values[1:], 1) if test.look(look - values[0]).alarm]


def test_of_two_thousand_trainings_without_harm_one_in_twenty_gives_an_alarm():
    """5 % are 100; the standard error of such a count is 10. Of 12,000 others 5.1 % did."""
    rng = np.random.default_rng(1)
    false = sum(bool(alarms(training(rng, memory=(0.0, 0.9)[number % 2]))) for number in range(2000))
    # A test that never warned would pass the upper bound: the error is spent.
    assert 80 <= false <= 120


def test_each_look_alone_would_be_wrong_too_often():
    """What the boundaries are for: a test at 5 % at each look."""
    rng, false = np.random.default_rng(2), 0
    for _ in range(300):
        values = training(rng, memory=0.0)
        false += any(SequentialFall(QUERIES, 1, ALPHA, 999).look(look - values[0]).alarm for look in values[1:])
    assert false > 30


def test_harm_is_found_and_mostly_before_the_end():
    rng = np.random.default_rng(3)
    found = [alarms(training(rng, fall=0.05)) for _ in range(200)]
    first = [looks[0] for looks in found if looks]
    assert len(first) > 180 and np.median(first) < LOOKS
    assert all(len(looks) == 1 for looks in found if looks), "a path that has crossed crosses no more"
    assert sum(bool(alarms(training(rng, fall=-0.05))) for _ in range(200)) == 0, "a gain is no harm"


def test_one_look_is_the_one_sided_sign_flip_test():
    rng, agreed = np.random.default_rng(4), 0
    for _ in range(60):
        differences = rng.choice([-0.5, -0.1, 0.0, 0.1, 0.5], 12, p=[0.25, 0.2, 0.2, 0.2, 0.15])
        signs = 1 - 2 * ((np.arange(2**12)[:, None] >> np.arange(12)) & 1)
        p = np.mean(np.round(signs @ differences, 9) <= np.round(differences.sum(), 9))
        alarm = SequentialFall(12, 1, ALPHA).look(differences).alarm
        # Random assignments and all of them differ near the level alone.
        agreed += alarm == (p <= ALPHA)
        assert abs(p - ALPHA) < 0.02 or alarm == (p <= ALPHA)
    assert agreed > 50


def test_what_cannot_be_known_gives_no_alarm():
    test = SequentialFall(QUERIES, 3, ALPHA)
    assert test.look(np.zeros(QUERIES)) == (0.0, float("inf"), False)
    for queries in (1, 2, 4):
        # Of so few queries one assignment in two to the power of their number is as bad.
        few = SequentialFall(queries, 1, ALPHA)
        assert not few.look(np.full(queries, -1.0)).alarm
    assert SequentialFall(8, 1, ALPHA).look(np.full(8, -1.0)).alarm


def test_a_statistic_that_ties_with_others_is_not_above_its_boundary():
    """Few moved queries give few different sums, so that the boundary is often the statistic itself."""
    for moved in (2, 3, 5):
        test, differences = SequentialFall(60, 4, ALPHA), np.zeros(60)
        differences[:moved] = -0.5
        for seen in (test.look(differences) for _ in range(4)):
            assert (seen.statistic > seen.boundary) == seen.alarm
            if seen.alarm:
                break


def test_more_looks_than_were_announced_spend_no_more():
    rng = np.random.default_rng(5)
    test = SequentialFall(QUERIES, 1, ALPHA)
    seen = [test.look(rng.normal(size=QUERIES)) for _ in range(5)]
    assert all(look.boundary == float("inf") for look in seen[1:])
