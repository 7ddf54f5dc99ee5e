"""What is claimed, and in which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfire.verdict import Verdict, sentence, verdict

ROW = {
    "variant": "full_hard",
    "measure": "RR@10",
    "seeds": 1,
    "queries": 1234,
    "mean": 0.612,
    "base_mean": 0.580,
    "delta": 0.032,
    "ci_low": 0.015,
    "ci_high": 0.049,
    "p": 0.0001,
    "p_adjusted": 0.0004,
    "verdict": "HELPS",
}


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (0.01, 0.05, 0.01, Verdict.HELPS),
        (-0.05, -0.01, 0.01, Verdict.HARMS),
        (-0.01, 0.05, 0.01, Verdict.INCONCLUSIVE),
        (-0.05, 0.01, 0.01, Verdict.INCONCLUSIVE),
        (0.01, 0.05, 0.2, Verdict.INCONCLUSIVE),
        (0.01, 0.05, 0.05, Verdict.INCONCLUSIVE),
        (0.0, 0.05, 0.01, Verdict.INCONCLUSIVE),
        (-0.05, 0.0, 0.01, Verdict.INCONCLUSIVE),
        (0.0, 0.0, 1.0, Verdict.INCONCLUSIVE),
        (None, None, 1.0, Verdict.INCONCLUSIVE),
        (None, None, 0.001, Verdict.INCONCLUSIVE),
        (0.01, 0.05, float("nan"), Verdict.INCONCLUSIVE),
    ],
)
def test_a_claim_needs_test_and_interval(low, high, p, expected):
    assert verdict(low, high, p, 0.05) is expected


bound = st.floats(-1, 1)


@given(bound, bound, st.floats(0, 1), st.floats(0.001, 0.5))
def test_mirrored_numbers_give_the_mirrored_verdict(first, second, p, alpha):
    low, high = sorted((first, second))
    mirror = {Verdict.HELPS: Verdict.HARMS, Verdict.HARMS: Verdict.HELPS}
    found = verdict(low, high, p, alpha)
    assert verdict(-high, -low, p, alpha) is mirror.get(found, found)
    assert (found is not Verdict.INCONCLUSIVE) == (p < alpha and (low > 0 or high < 0))


def test_sentences():
    assert sentence(ROW) == (
        "full_hard helps: RR@10 0.612 against 0.580 for base (+0.032, 95 % interval +0.015 to +0.049, "
        "adjusted p 0.0004; 1,234 queries, one training seed)."
    )
    worse = {**ROW, "mean": 0.4, "delta": -0.18, "ci_low": -0.2, "ci_high": -0.161, "verdict": "HARMS", "seeds": 3}
    assert sentence({**worse, "p_adjusted": 1e-9}, alpha=0.1) == (
        "full_hard backfires: RR@10 0.400 against 0.580 for base (-0.180, 90 % interval -0.200 to -0.161, "
        "adjusted p < 0.0001; 1,234 queries, mean of 3 training seeds)."
    )
    unsure = {**ROW, "ci_low": None, "ci_high": None, "p_adjusted": 1.0, "verdict": "INCONCLUSIVE", "queries": 1}
    assert sentence(unsure) == (
        "full_hard cannot be told apart from base: RR@10 0.612 against 0.580 for base (+0.032, no interval, "
        "adjusted p 1; 1 query, one training seed)."
    )
    assert sentence({**ROW, "variant": "base", "mean": 0.58, "verdict": "BASE", "ci_low": None}) == (
        "base: RR@10 0.580 over 1,234 queries."
    )


@pytest.mark.parametrize(
    ("p", "words"),
    [(0.00012, "p 0.00012;"), (0.0001, "p 0.0001;"), (0.04999, "p 0.05;"), (0.5, "p 0.5;"), (0.0, "p < 0.0001;")],
)
def test_p_in_words(p, words):
    assert words in sentence({**ROW, "p_adjusted": p})
