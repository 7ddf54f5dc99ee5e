"""Reciprocal rank fusion: by the formula, aligned by query, and refused where runs are of other queries."""

import pytest

from backfire.errors import BackfireError
from backfire.formats.trec import read_run, write_run
from backfire.retrieval.fusion import fuse, fuse_runs


@pytest.fixture
def queries(table):
    return table("queries", "queries", [{"query_id": f"q{number}", "text": "text"} for number in (3, 1, 2)])


def ranking(*ids):
    return [(doc_id, 10.0 - place) for place, doc_id in enumerate(ids)]


def test_a_score_is_the_sum_of_reciprocal_ranks():
    fused = fuse([ranking("a", "b", "c"), ranking("c", "a")], 60)
    assert [doc_id for doc_id, _ in fused] == ["a", "c", "b"]
    assert [score for _, score in fused] == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62])


def test_equal_sums_stand_by_passage_id_whatever_the_order_of_the_runs():
    runs = [ranking("b", "a"), ranking("a", "b")]
    assert fuse(runs, 60) == fuse(runs[::-1], 60)
    assert [doc_id for doc_id, _ in fuse(runs, 60)] == ["a", "b"]


def test_runs_are_fused_query_by_query_and_one_may_lack_some(queries, tmp_path):
    write_run(tmp_path / "one", [("q3", ranking("a", "b")), ("q1", ranking("c"))], "one")
    write_run(tmp_path / "two", [("q1", ranking("d", "c")), ("q2", ranking("e", "f", "g"))], "two")
    fuse_runs([tmp_path / "one", tmp_path / "two"], queries, 60, 2, "both", tmp_path / "both")
    found = read_run(tmp_path / "both")
    assert {query: [doc_id for doc_id, _ in hits] for query, hits in found.items()} == {
        "q3": ["a", "b"], "q1": ["c", "d"], "q2": ["e", "f"],
    }  # fmt: skip
    assert list(found) == ["q3", "q1", "q2"]
    assert found["q1"][0][1] == pytest.approx(1 / 61 + 1 / 62)


def test_a_run_of_other_queries_is_refused(queries, tmp_path):
    write_run(tmp_path / "one", [("q1", ranking("a")), ("q3", ranking("a"))], "one")
    with pytest.raises(BackfireError, match="query 'q3' is not where the table of queries has it"):
        fuse_runs([tmp_path / "one"], queries, 60, 2, "both", tmp_path / "both")
