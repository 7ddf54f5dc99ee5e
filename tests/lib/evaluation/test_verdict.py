"""What is claimed, and in which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfire.evaluation.verdict import MEANINGS, Retention, Verdict, keeping, retention, sentence, shortfall, verdict

ROW = {
    "variant": "full_hard",
    "reference": "base",
    "measure": "RR@10",
    "seeds": 1,
    "queries": 1234,
    "mean": 0.612,
    "reference_mean": 0.580,
    "delta": 0.032,
    "ci_low": 0.015,
    "ci_high": 0.049,
    "margin": 0.005,
    "fewest_queries": 598,
    "p_adjusted": 0.0004,
    "p_equivalence_adjusted": 1.0,
    "queries_needed": 9000,
    "seeds_needed": None,
    "verdict": "HELPS",
}
ALPHA, MARGIN = 0.05, 0.005


@pytest.mark.parametrize(
    ("delta", "interval", "p", "p_equivalence", "expected"),
    [
        (0.03, (0.01, 0.05), 0.01, 1.0, Verdict.HELPS),
        (-0.03, (-0.05, -0.01), 0.01, None, Verdict.HARMS),
        # the difference is exactly the margin
        (0.005, (0.001, 0.009), 0.01, 0.5, Verdict.HELPS),
        # below the margin: sure, but does not matter, or not known to matter
        (0.004, (0.002, 0.006), 0.01, 0.2, Verdict.INCONCLUSIVE),
        (0.002, (0.001, 0.003), 0.001, 0.001, Verdict.EQUIVALENT),
        (0.0, (-0.001, 0.001), 0.9, 0.01, Verdict.EQUIVALENT),
        # the test or the interval does not say so
        (0.03, (-0.01, 0.05), 0.01, 1.0, Verdict.INCONCLUSIVE),
        (-0.03, (-0.05, 0.01), 0.01, 1.0, Verdict.INCONCLUSIVE),
        (0.03, (0.01, 0.05), 0.05, 1.0, Verdict.INCONCLUSIVE),
        (0.03, (0.0, 0.05), 0.01, 1.0, Verdict.INCONCLUSIVE),
        # nothing to go by
        (0.0, (0.0, 0.0), 1.0, None, Verdict.INCONCLUSIVE),
        (0.4, None, 1.0, None, Verdict.INCONCLUSIVE),
        (0.4, None, 0.001, None, Verdict.INCONCLUSIVE),
        (0.03, (0.01, 0.05), float("nan"), float("nan"), Verdict.INCONCLUSIVE),
        (0.0, (-0.001, 0.001), 0.9, 0.05, Verdict.INCONCLUSIVE),
        # the tests say equal, but the interval that is drawn reaches the margin
        (0.001, (0.0, 0.0055), 0.9, 0.01, Verdict.INCONCLUSIVE),
        (0.0, (-0.005, 0.001), 0.9, 0.01, Verdict.INCONCLUSIVE),
    ],
)
def test_the_rule(delta, interval, p, p_equivalence, expected):
    assert verdict(delta, interval, p, p_equivalence, MARGIN, ALPHA) is expected


bound = st.floats(-1, 1)


@given(bound, bound, bound, st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_mirrored_numbers_give_the_mirrored_verdict(delta, first, second, p, p_equivalence, margin, alpha):
    low, high = sorted((first, second))
    mirror = {Verdict.HELPS: Verdict.HARMS, Verdict.HARMS: Verdict.HELPS}
    found = verdict(delta, (low, high), p, p_equivalence, margin, alpha)
    assert verdict(-delta, (-high, -low), p, p_equivalence, margin, alpha) is mirror.get(found, found)
    claimed = found in mirror
    assert claimed == (p < alpha and abs(delta) >= margin and (low > 0 or high < 0))
    assert (found is Verdict.EQUIVALENT) == (not claimed and p_equivalence < alpha and -margin < low and high < margin)


@pytest.mark.parametrize("p", [None, 0.05, 0.4, float("nan")])
def test_forgetting_without_a_test_that_excludes_a_loss(p):
    assert {found: retention(found, p, ALPHA) for found in Verdict if found != Verdict.BASE} == {
        Verdict.HELPS: Retention.KEEPS,
        Verdict.EQUIVALENT: Retention.KEEPS,
        Verdict.HARMS: Retention.FORGETS,
        Verdict.INCONCLUSIVE: Retention.OPEN,
    }


def test_what_cannot_be_told_apart_is_kept_where_a_loss_is_excluded():
    assert retention(Verdict.INCONCLUSIVE, 0.049, ALPHA) is Retention.KEEPS
    assert retention(Verdict.HARMS, 0.049, ALPHA) is Retention.FORGETS


def test_every_outcome_has_its_meaning():
    assert list(MEANINGS) == [*(found for found in Verdict if found != Verdict.BASE), *Retention]


def test_sentences():
    assert sentence(ROW) == (
        "full_hard helps: RR@10 0.612 against 0.580 for base (+0.032, 95 % interval +0.015 to +0.049, "
        "adjusted p 0.0004; 1,234 queries, one training seed: query sampling only)."
    )
    worse = {**ROW, "mean": 0.4, "delta": -0.18, "ci_low": -0.2, "ci_high": -0.161, "verdict": "HARMS", "seeds": 3}
    assert sentence({**worse, "p_adjusted": 1e-9}, alpha=0.1) == (
        "full_hard backfires: RR@10 0.400 against 0.580 for base (-0.180, 90 % interval -0.200 to -0.161, "
        "adjusted p < 0.0001; 1,234 queries, 3 training seeds)."
    )
    assert sentence({**worse, "reference": "full_bm25"}).startswith("full_hard is worse than full_bm25: ")
    same = {**ROW, "verdict": "EQUIVALENT", "p_equivalence_adjusted": 0.012, "seeds": 3}
    assert sentence(same).startswith("full_hard is equivalent to base within 0.005: ")
    assert "equivalence p 0.012; 1,234 queries, 3 training seeds)." in sentence(same)
    assert sentence({**ROW, "variant": "base", "mean": 0.58, "verdict": "BASE", "ci_low": None}) == (
        "base: RR@10 0.580 over 1,234 queries."
    )


def test_an_inconclusive_sentence_says_what_it_would_take():
    unsure = {**ROW, "ci_low": None, "ci_high": None, "p_adjusted": 1.0, "verdict": "INCONCLUSIVE", "queries": 1}
    assert sentence(unsure) == (
        "full_hard cannot be told apart from base: RR@10 0.612 against 0.580 for base (+0.032, no interval, adjusted p "
        "1; 1 query, one training seed: query sampling only). About 9,000 queries would be enough to settle this; "
        "there is 1."
    )
    seeds = {**unsure, "seeds": 3, "seeds_needed": 7}
    assert sentence(seeds).endswith(
        "About 9,000 queries and 7 seeds would be enough to settle this; there are 1 and 3."
    )
    assert sentence({**seeds, "queries": 10000}).endswith("About 7 seeds would be enough to settle this; there are 3.")
    assert "this one lies in between" in sentence({**unsure, "queries": 10000})
    assert "No number of queries" in sentence({**unsure, "queries_needed": None})
    assert "perhaps by less than the 0.005 that would matter" in sentence({**unsure, "p_adjusted": 0.001})


def test_an_interval_within_the_margin_that_is_not_equivalent_says_why_in_the_same_sentence():
    inside = {**ROW, "mean": 0.5816, "delta": 0.0016, "ci_low": 0.0004, "ci_high": 0.0038, "verdict": "INCONCLUSIVE"}
    inside |= {"p_adjusted": 0.12, "queries": 462, "queries_needed": 598}
    assert sentence(inside) == (
        "full_hard is within 0.005 of base by its interval, but 462 queries are too few for the rule, which takes 598 "
        "to call it equivalent: RR@10 0.582 against 0.580 for base (+0.002, 95 % interval +0.000 to +0.004, adjusted p "
        "0.12; 462 queries, one training seed: query sampling only). About 598 queries would be enough to settle "
        "this; there are 462."
    )
    enough = {**inside, "queries": 700, "p_equivalence_adjusted": 0.061}
    assert (
        "by its interval, but the tests against the margin, adjusted for the number of comparisons, do not call "
        in (sentence(enough))
    )
    assert shortfall(enough).endswith("(p 0.061)")
    for other in ({"ci_high": 0.0051}, {"ci_low": -0.005}, {"ci_low": None}, {"verdict": "EQUIVALENT"}):
        assert shortfall({**inside, **other}) is None


def test_keeps_shows_the_interval_of_its_test_and_the_queries_that_it_takes():
    row = {**ROW, "one_sided_low": -0.0036, "one_sided_high": 0.0124, "retention": "keeps", "queries": 462}
    assert keeping(row, ALPHA) == "90 % interval -0.0036 to +0.0124"
    assert keeping({**row, "retention": "open"}, 0.01) == "98 % interval -0.0036 to +0.0124; 'keeps' takes 598 queries"
    assert "takes" not in keeping({**row, "retention": "open", "queries": 598}, ALPHA)
    assert keeping({**row, "one_sided_low": None}, ALPHA) == "no interval"


@pytest.mark.parametrize(
    ("p", "words"),
    [(0.00012, "p 0.00012;"), (0.0001, "p 0.0001;"), (0.04999, "p 0.05;"), (0.5, "p 0.5;"), (0.0, "p < 0.0001;")],
)
def test_p_in_words(p, words):
    assert words in sentence({**ROW, "p_adjusted": p})
