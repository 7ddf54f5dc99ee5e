"""What changes places with the answer: hubs that are planted, kinds by hand, and how often chance names a hub."""

import numpy as np
import pytest
import scipy.stats

from backfire.explaining.queries.answers import Found, find_answers
from backfire.explaining.queries.paired import Paired
from backfire.explaining.queries.replaced import GAIN, KINDS, LOSS, Exchange, adjusted, counted, exchanges, hubs, kinds

LONG = "compute the mean of the values along the given axis and return it as an array of floats"


def lists(rng, queries, passages, depth=10):
    return {f"q{row}": [f"d{number}" for number in rng.permutation(passages)[:depth]] for row in range(queries)}


def test_a_planted_hub_is_found_and_what_it_replaced_is_none():
    rng = np.random.default_rng(0)
    before = lists(rng, 200, 500)
    after = {
        query: [*ranking[:9], "hub"] if row % 5 == 0 else ranking for row, (query, ranking) in enumerate(before.items())
    }
    assert hubs(before, after, 0.05) == {"hub"}
    assert hubs(after, before, 0.05) == set(), "each passage that came back comes back once"
    assert hubs(before, before, 0.05) == set()


def test_few_hubs_are_named_by_chance():
    """Half of the passages of each list are exchanged at random: no passage is favoured, and few studies name any."""
    named = 0
    for number in range(200):
        rng = np.random.default_rng(number)
        before = lists(rng, 120, 60)
        after = {query: [*ranking[:5], *lists(rng, 1, 60)["q0"][:5]] for query, ranking in before.items()}
        # Entries that stand twice would be one.
        after = {query: list(dict.fromkeys(ranking)) for query, ranking in after.items()}
        before = {query: [*ranking[:5], *lists(rng, 1, 60)["q0"][:5]] for query, ranking in before.items()}
        named += bool(hubs({query: list(dict.fromkeys(r)) for query, r in before.items()}, after, 0.05))
    assert named <= 20


def test_benjamini_and_hochberg_over_sign_tests_by_hand():
    before = {f"q{row}": ["a", "b"] for row in range(12)}
    after = {f"q{row}": ["x", "b"] if row < 9 else ["a", "y"] for row in range(12)}
    # x came to nine queries, y to three; a left nine, b left three.
    p = {
        name: scipy.stats.binomtest(came, came + went, alternative="greater").pvalue if came else 1.0
        for name, came, went in (("a", 0, 9), ("b", 0, 3), ("x", 9, 0), ("y", 3, 0))
    }
    adjusted_p = scipy.stats.false_discovery_control(list(p.values()))
    expected = {name for name, value in zip(p, adjusted_p, strict=True) if value < 0.05}
    assert hubs(before, after, 0.05) == expected == {"x"}


@pytest.fixture
def study():
    """Five queries: lost to a near duplicate, to a hub, to a passage with fewer words, to another; and one gained."""
    answers = {f"q{n}": [f"a{n}"] for n in range(6)}
    base = {f"q{n}": [(f"a{n}", 9.0), ("z", 8.0), ("y", 7.0)] for n in range(4)}
    base |= {"q4": [("poor", 9.0), ("a4", 8.0)], "q5": [("a5", 9.0)]}
    first = ["copy", "hub", "poor", "rich"]
    tuned = {f"q{n}": [(first[n], 9.0), (f"a{n}", 8.0), ("z", 7.0)] for n in range(4)}
    tuned |= {"q4": [("a4", 9.0), ("poor", 8.0)], "q5": [("a5", 9.0)]}
    values = np.array([1, 1, 1, 1, 0.5, 1.0]), np.array([[0.5, 0.5, 0.5, 0.5, 1, 1.0]])
    paired = Paired(sorted(answers), values[0], {"tuned": values[1]})
    return paired, answers, *(find_answers(run.items(), answers, ()) for run in (base, tuned))


TEXTS = {
    "a0": LONG, "copy": LONG, "a1": "sort an array", "hub": "everything", "a2": "the mean of an axis", "poor": "noise",
    "a3": "mean", "rich": "the mean of an axis", "a4": "median of an axis", "a5": "never moves",
}  # fmt: skip
QUERIES = {
    "q0": "compute the mean", "q1": "sort an array", "q2": "mean of an axis", "q3": "mean of an axis",
    "q4": "median of an axis", "q5": "never",
}  # fmt: skip


def test_each_exchange_is_of_the_first_kind_that_fits(study):
    paired, _, base, tuned = study
    found = exchanges(paired, "tuned", base, tuned)
    assert found == [
        Exchange("tuned", LOSS, "q0", "a0", "copy"),
        Exchange("tuned", LOSS, "q1", "a1", "hub"),
        Exchange("tuned", LOSS, "q2", "a2", "poor"),
        Exchange("tuned", LOSS, "q3", "a3", "rich"),
        Exchange("tuned", GAIN, "q4", "a4", "poor"),
    ]
    hubs_of = {LOSS: {"hub", "copy"}, GAIN: set()}
    told = kinds(found, hubs_of, QUERIES, TEXTS)
    assert list(told.values()) == ["near duplicate", "hub", "fewer words", "other", "fewer words"]
    rows = adjusted(counted(paired, "tuned", told, hubs_of))
    assert len(rows) == 2 * len(KINDS)
    by_kind = {(row["direction"], row["kind"]): row for row in rows}
    for kind in KINDS:
        assert by_kind[LOSS, kind]["queries"] == 1 and by_kind[GAIN, kind]["queries"] == (kind == "fewer words")
        expected = scipy.stats.fisher_exact([[1, 3], [int(kind == "fewer words"), int(kind != "fewer words")]]).pvalue
        if kind == "other":
            assert by_kind[LOSS, kind]["p"] is None
        else:
            assert by_kind[LOSS, kind]["p"] == pytest.approx(expected) and by_kind[LOSS, kind]["p_adjusted"] == 1
    assert {row["moved"] for row in rows if row["direction"] == LOSS} == {4}
    assert {(row["named"], row["hubs"]) for row in rows if row["direction"] == GAIN} == {(1, 0)}


def test_what_cannot_be_named_is_not():
    """An answer that the better side's list lacks; one that lost by its mean and not by the first seed's ranking."""
    paired = Paired(["q0", "q1"], np.array([0.2, 1.0]), {"v": np.array([[0.1, 0.5]])})
    same = Found({"q1": (1, "a1")}, {}, {"q0": ["x"], "q1": ["a1", "x"]})
    assert exchanges(paired, "v", same, same) == []
    # An answer below the first ten: what came before it is not known.
    deep = Found({"q1": (50, "a1")}, {}, {"q0": ["x"], "q1": list("bcdefghijk")})
    shown = Found({"q1": (60, "a1")}, {}, {"q0": ["x"], "q1": ["p", *"bcdefghij"]})
    assert exchanges(paired, "v", deep, shown) == []
    rows = adjusted(counted(paired, "v", {}, {LOSS: set(), GAIN: set()}))
    assert {(row["p"], row["p_adjusted"]) for row in rows} == {(None, None)}
