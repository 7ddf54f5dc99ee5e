"""Where a run ranks the answer, on runs made by hand."""

from backfire.explaining.queries.answers import answers_of, find_answers

QRELS = {"q1": {"a": 1, "b": 2, "c": 3, "d": 3}, "q2": {"a": 0}}


def test_answers_are_the_relevant_passages_best_grade_first():
    assert answers_of(QRELS, 1) == {"q1": ["c", "d", "b", "a"], "q2": []}
    assert answers_of(QRELS, 3) == {"q1": ["c", "d"], "q2": []}


def test_the_best_ranked_answer_counts_and_only_asked_rankings_are_kept():
    run = [("q1", [("x", 3.0), ("b", 2.0), ("c", 1.0)]), ("q2", [("a", 1.0)]), ("q9", [("a", 1.0)])]
    found = find_answers(iter(run), answers_of(QRELS, 2), keep={"q1", "q3"})
    assert found.best == {"q1": (2, "b")}
    assert (found.rank("q1"), found.rank("q2"), found.rank("q3")) == (2, None, None)
    assert found.rankings == {"q1": ["x", "b", "c"], "q3": []}
