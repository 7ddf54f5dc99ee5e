"""Effect by kind of query: strata, intervals, and tests whose answer is known."""

import numpy as np
import pytest

from backfire.evaluation.significance.families import benjamini_hochberg
from backfire.explaining.queries.answers import Found
from backfire.explaining.queries.interaction import rank_dependence
from backfire.explaining.queries.strata import BASE_RANK, LENGTH, OVERLAP, Factor, dependences, factors_of, strata
from backfire.keyed import keyed_rng

NULL_CASES = 200
# The level and 2.6 standard errors of the share of 200 cases.
AT_MOST = 0.09


def factor(values, name=LENGTH):
    values = np.asarray(values, dtype=float)
    return Factor(name, values, [("all", np.full(len(values), True))])


def reciprocal(ranks):
    return np.where(ranks <= 10, 1 / ranks, 0.0)


def null_study(pair, queries=150, variants=NULL_CASES, seeds=1):
    """Reciprocal ranks of base and of variants that do as well as base on every query, and lengths of the queries.

    Short queries are easy, so that their ranks barely differ; long ones are hard and spread widely.
    """
    rng = np.random.default_rng(0)
    length = rng.integers(2, 30, queries)
    draw = lambda: reciprocal(rng.geometric(1 / (1 + length / 4)))  # noqa: E731
    return pair(draw(), **{f"v{case}": [draw() for _ in range(seeds)] for case in range(variants)}), length


def test_a_variant_that_does_as_well_as_base_is_seldom_said_to_depend_on_length(pair):
    rejected = []
    for case in range(NULL_CASES):
        rng = keyed_rng("null", case)
        length = rng.integers(2, 30, 100)
        base, tuned = (reciprocal(rng.geometric(1 / (1 + length / 4))) for _ in range(2))
        test = dependences(pair(base, v=tuned), [factor(length)], 199, case)["v", LENGTH]
        rejected.append(test["p"] < 0.05)
    assert np.mean(rejected) <= AT_MOST


def alike(case, queries=675, gain=0.25):
    """A study in which a variant moves every query's rank alike: base's values, the variant's, and lengths of queries.

    Base has more than half of them at rank 1, and length has nothing to do with either.
    """
    rng = keyed_rng("alike", case)
    difficulty = rng.normal(-0.2, 1.6, queries)
    base, tuned = (
        reciprocal(np.ceil(np.exp(np.maximum(difficulty - moved + 0.6 * rng.standard_normal(queries), -3))))
        for moved in (0.0, gain)
    )
    return base, tuned, rng.integers(2, 30, queries)


def test_a_change_that_is_alike_for_all_queries_is_said_to_depend_on_nothing(pair):
    said, oldham, at_the_top = [], [], []
    for case in range(NULL_CASES):
        base, tuned, length = alike(case)
        tests = dependences(pair(base, v=tuned), [factor(length), factor(base, BASE_RANK)], 199, case)
        assert tests["v", BASE_RANK] == {"rho": None, "p": None, "p_adjusted": None}
        said.append(tests["v", LENGTH]["p_adjusted"] < 0.05)
        oldham.append(rank_dependence((base + tuned) / 2, tuned - base, 199, keyed_rng("oldham", case))[1] < 0.05)
        at_the_top.append((base == 1).mean())
    assert np.mean(at_the_top) > 0.5
    # One in twenty, and two standard errors of so many studies.
    assert np.mean(said) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / NULL_CASES)
    assert np.mean(oldham) > 0.5, "else there is no ceiling here that a test by base's rank would take for an effect"


def test_over_many_null_variants_nothing_is_claimed(pair):
    paired, length = null_study(pair)
    tests = dependences(paired, [factor(length)], 199, 0)
    assert len(tests) == NULL_CASES
    assert not any(test["p_adjusted"] < 0.05 for test in tests.values())
    p_values = [test["p"] for test in tests.values()]
    assert [test["p_adjusted"] for test in tests.values()] == benjamini_hochberg(p_values)


def harmful(length, rng):
    """A variant that ranks answers of long queries further down, and leaves short ones as they are."""
    ranks = rng.geometric(0.5, len(length))
    return reciprocal(ranks), reciprocal(np.where(length > 15, ranks + rng.integers(1, 4, len(length)), ranks))


def test_a_variant_that_hurts_long_queries_is_detected_and_a_null_one_beside_it_is_not(pair):
    rng = np.random.default_rng(1)
    length = rng.integers(2, 30, 200)
    base, tuned = harmful(length, rng)
    paired = pair(base, hurts=tuned, null=base)
    texts = {query_id: "word " * number for query_id, number in zip(paired.queries, length, strict=True)}
    factors = factors_of(paired, {}, Found({}, {}), texts, {}, depth=100)
    rows = strata(paired, factors, 0.05, 500, 0)
    short, middle, long = [row for row in rows if (row["variant"], row["factor"]) == ("hurts", LENGTH)]
    assert short["rho"] < -0.5 and short["p_adjusted"] < 0.05
    assert short["delta"] == 0 and long["delta"] < -0.2 and long["ci_high"] < 0
    assert short["stratum"].startswith("2-") and long["stratum"].endswith("-29 words")
    assert short["high"] < middle["low"] <= middle["high"] < long["low"]
    assert sum(row["queries"] for row in (short, middle, long)) == 200
    for row in rows:
        if row["variant"] == "null":
            assert (row["rho"], row["p"], row["p_adjusted"]) == (None, None, None)
            assert (row["delta"], row["ci_low"], row["ci_high"]) == (0, 0, 0)


def test_strata_of_bases_rank_hold_what_they_say(pair):
    ranks = [1, 1, 1, 2, 10, 11, 50, None, None]
    base = Found({f"q{n:03}": (rank, "A") for n, rank in enumerate(ranks) if rank}, {})
    values = [1 / rank if rank and rank <= 10 else 0 for rank in ranks]
    paired = pair(values, v=[1, 0.5, 1, 1, 0.1, 0.5, 0.2, 0, 1])
    texts = {query_id: f"query {query_id}" for query_id in paired.queries}
    answers = {query_id: ["A"] for query_id in paired.queries}
    factors = factors_of(paired, answers, base, texts, {"A": "a query q000"}, depth=50)
    rows = [row for row in strata(paired, factors, 0.05, 100, 0) if row["factor"] == BASE_RANK]
    assert [(row["stratum"], row["low"], row["high"], row["queries"]) for row in rows] == [
        ("rank 1", 1, 1, 3),
        ("ranks 2-10", 2, 10, 2),
        ("ranks 11-50", 11, 50, 2),
        ("not found", None, None, 2),
    ]
    assert rows[0]["delta"] == pytest.approx(-0.5 / 3) and rows[3]["delta"] == 0.5
    assert [row["place"] for row in rows] == [1, 2, 3, 4]
    (overlap,) = [each for each in factors if each.name == OVERLAP]
    np.testing.assert_array_equal(overlap.values, [1] + 8 * [0.5])
    assert [label for label, _ in overlap.strata] == ["50 %", "100 %"]


def test_a_shallow_run_has_no_empty_strata_and_a_single_query_no_interval(pair):
    paired = pair([1, 0.5, 0], v=[1, 1, 0])
    base = Found({"q000": (1, "A"), "q001": (2, "A")}, {})
    texts = dict.fromkeys(paired.queries, "one")
    rows = strata(paired, factors_of(paired, {}, base, texts, {}, depth=5), 0.05, 100, 0)
    assert [row["stratum"] for row in rows] == ["1 word", "rank 1", "ranks 2-5", "not found"]
    assert all(row["ci_low"] is None for row in rows if row["queries"] == 1)


def test_queries_without_the_factor_are_left_out(pair):
    paired = pair([1, 0.5, 0, 0.2], v=[1, 1, 0.5, 0.1])
    texts = dict(zip(paired.queries, ["a b", "a", "?", "b"], strict=True))
    answers = dict(zip(paired.queries, [["A"], ["A"], ["A"], []], strict=True))
    factors = factors_of(paired, answers, Found({}, {}), texts, {"A": "a"}, depth=5)
    (overlap,) = [each for each in factors if each.name == OVERLAP]
    assert sum(mask.sum() for _, mask in overlap.strata) == 2
    assert dependences(paired, [overlap], 100, 0)["v", OVERLAP]["p"] is None


def test_draws_of_a_variant_do_not_depend_on_the_others(pair):
    paired, length = null_study(pair, variants=2, seeds=2)
    factors = [factor(length), factor(paired.base, BASE_RANK)]
    both = strata(paired, factors, 0.05, 200, 0)
    alone = strata(pair(paired.base, v1=paired.seeds["v1"]), factors, 0.05, 200, 0)
    columns = ("factor", "stratum", "delta", "ci_low", "ci_high", "rho", "p")
    assert [[row[key] for key in columns] for row in both if row["variant"] == "v1"] == [
        [row[key] for key in columns] for row in alone
    ]
    assert strata(paired, factors, 0.05, 200, 0) == both != strata(paired, factors, 0.05, 200, 1)
