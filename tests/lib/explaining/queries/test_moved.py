"""The queries that moved most: their order, both ranks, and which passages changed places with the answer."""

import numpy as np
import pytest

from backfire.explaining.queries.answers import Found
from backfire.explaining.queries.moved import changed_places, cut, most_moved, moves, with_texts


def test_the_largest_come_first_and_equal_ones_by_query_id():
    queries = ["q3", "q1", "q2", "q4", "q5", "q6"]
    differences = np.array([-0.5, -0.5, 0.0, 0.3, -0.9, 0.7])
    assert most_moved(differences, queries) == {"loss": [4, 1, 0], "gain": [5, 3]}
    assert most_moved(differences, queries, most=1) == {"loss": [4], "gain": [5]}


@pytest.mark.parametrize(
    ("better", "worse", "ranks", "expected"),
    [
        # x was before the answer already; y and z overtook it; w stayed behind.
        ("xAyzw", "xyzAw", (2, 4), ["y", "z"]),
        # New to the ranking, in the order of the worse one.
        ("Ax", "nmxA", (1, 4), ["n", "m", "x"]),
        ("Axyzw", "xyzwA", (1, 5), ["x", "y", "z"]),
        # The answer fell out of the ranking.
        ("xAy", "xyz", (2, None), ["y", "z"]),
        # Another answer is the best one there; it takes nobody's place.
        ("Axy", "yBxA", (1, 2), ["y"]),
        # Nobody found it, or nothing is worse.
        ("xy", "yx", (None, None), []),
        ("xA", "xA", (2, 2), []),
        ("A", "", (1, None), []),
    ],
)
def test_passages_that_changed_places_with_the_answer(better, worse, ranks, expected):
    assert changed_places(list(better), list(worse), *ranks) == expected


def found(**rankings):
    """A run whose rankings are words of one-letter passages; the answer is A, or B."""
    best = {}
    for query_id, ranking in rankings.items():
        places = [(place, letter) for place, letter in enumerate(ranking, 1) if letter in "AB"]
        if places:
            best[query_id] = places[0]
    return Found(best, {query_id: list(ranking) for query_id, ranking in rankings.items()})


def test_a_loss_and_a_gain_on_runs_made_by_hand(pair):
    paired = pair([1.0, 0.25, 0.5, 0.0], tuned=[[0.0, 1.0, 0.5, 0.0], [0.5, 1.0, 0.5, 0.0]])
    base, tuned = found(q000="Axyz", q001="xyzA"), found(q000="uxyz", q001="Axzu")
    loss, gain = moves(paired, "tuned", {"q000": ["A"], "q001": ["A"]}, base, tuned)
    assert loss.row == {
        "variant": "tuned",
        "direction": "loss",
        "place": 1,
        "query_id": "q000",
        "base_value": 1.0,
        "variant_value": 0.25,
        "delta": -0.75,
        "base_rank": 1,
        "variant_rank": None,
        "answer_id": "A",
        "passage_ids": ["u", "x", "y"],
        "passage_base_ranks": [None, 2, 3],
        "passage_variant_ranks": [1, 2, 3],
    }
    assert (gain.row["direction"], gain.row["base_rank"], gain.row["variant_rank"]) == ("gain", 4, 1)
    assert gain.row["passage_ids"] == ["x", "y", "z"]
    assert gain.row["passage_base_ranks"] == [1, 2, 3]
    assert gain.row["passage_variant_ranks"] == [2, None, 3]
    assert loss.doc_ids == {"A", "u", "x", "y"}


def test_of_several_answers_the_one_ranked_best_by_the_better_side_is_shown(pair):
    paired = pair([1.0, 0.2, 0.3], tuned=[0.5, 0.5, 0.0])
    base, tuned = found(q000="ABx", q001="xxxxA", q002="x"), found(q000="xBA", q001="xB", q002="y")
    shown = {
        move.row["query_id"]: move.row
        for move in moves(paired, "tuned", {"q000": ["A", "B"], "q001": ["A", "B"], "q002": ["A", "B"]}, base, tuned)
    }
    assert shown["q000"]["answer_id"] == "A" and shown["q001"]["answer_id"] == "B"
    assert (shown["q000"]["base_rank"], shown["q000"]["variant_rank"]) == (1, 2)
    # Where neither finds one (a measure of grades moved), the first of the highest grade, and nobody took its place.
    assert shown["q002"]["answer_id"] == "A" and shown["q002"]["passage_ids"] == []


def test_texts_are_cut_on_one_line_and_kept_as_they_are(pair):
    paired = pair([1.0], tuned=[0.5])
    (move,) = moves(paired, "tuned", {"q000": ["A"]}, found(q000="Ax"), found(q000="xA"))
    row = with_texts(move, {"q000": "what\n is\tthis"}, {"A": "<b>&amp;" + " word" * 200, "x": "short"})
    assert row["query"] == "what is this"
    assert row["answer"].startswith("<b>&amp; word") and row["answer"].endswith("word…")
    assert len(row["answer"]) <= 300
    assert row["passage_texts"] == ["short"]


@pytest.mark.parametrize("text", ["", " ", "a", "…", "x" * 300])
def test_a_text_that_fits_is_not_cut(text):
    assert cut(text) == text.strip()


def test_a_single_long_word_is_cut_within():
    assert cut("x" * 1000) == "x" * 299 + "…"
