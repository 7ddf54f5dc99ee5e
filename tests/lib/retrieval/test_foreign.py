"""Runs of other tools: read as pytrec_eval reads them, and what each fault is answered with."""

import gzip
import logging

import bm25s
import ir_measures
import pytest
import pytrec_eval

from backfire.errors import BackfireError
from backfire.evaluation.measures import score_run
from backfire.formats.tables import write_rows
from backfire.formats.trec import iterate_run, read_run
from backfire.retrieval.foreign import take_run

TEXTS = {
    "d1": "the quick brown fox", "d2": "a slow brown dog", "d3": "foxes and dogs are animals", "d 4": "a fox, a dog",
}  # fmt: skip
QUERIES = {"q1": "brown fox", "q2": "slow dog", "q3": "animals"}
LINES = [
    "q2 Q0 d2 1 3.5 tool", "q2 Q0 d3 2 1.5 tool", "q1 Q0 d1 1 2.5 tool", "q1 Q0 d%204 2 2.5 tool",
    "q1 Q0 d2 3 0.5 tool", "q9 Q0 d1 1 9 tool",
]  # fmt: skip


@pytest.fixture
def take(tmp_path):
    """A function that writes lines as a run, takes it, and gives what Backfire has then."""
    write_rows(tmp_path / "queries", "queries", [{"query_id": key, "text": text} for key, text in QUERIES.items()])
    corpus = [tmp_path / "1", tmp_path / "2"]
    rows = [{"doc_id": key, "text": text} for key, text in TEXTS.items()]
    for path, part in zip(corpus, (rows[:2], rows[2:]), strict=True):
        write_rows(path, "corpus", part)

    def make(lines, depth=10, name="run.trec"):
        path = tmp_path / name
        data = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        take_run(path, tmp_path / "queries", corpus, depth, "tag", tmp_path / "out.trec")
        return read_run(tmp_path / "out.trec")

    return make


@pytest.mark.parametrize("name", ["run.trec", "run.trec.gz"])
def test_queries_come_in_the_order_of_the_split_and_ids_as_the_collection_has_them(take, name, caplog):
    with caplog.at_level(logging.INFO):
        found = take(LINES, name=name)
    assert found == {
        "q1": [("d1", 2.5), ("d 4", 2.5), ("d2", 0.5)],
        "q2": [("d2", 3.5), ("d3", 1.5)],
    }
    assert list(found) == ["q1", "q2"]
    assert "2 of 3 queries, 3 deep; left out: 1 lines of other queries, 0 beyond the depth of 10" in caplog.text
    assert "has no ranking for 1 of 3 queries; they score 0" in caplog.text
    assert "is 3 deep and the others 10" in caplog.text


def test_what_lies_deeper_than_the_study_ranks_is_cut(take):
    assert {query: len(hits) for query, hits in take(LINES, depth=2).items()} == {"q1": 2, "q2": 2}


def test_lines_may_stand_in_any_order_and_be_separated_by_any_white_space(take):
    assert take([line.replace(" ", "\t") for line in LINES[::-1]]) == take(LINES)
    assert take([line.replace(" 1 ", " 0 ").replace(" 2 ", " 1 ") for line in LINES[:4]]) == take(LINES[:4])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 Q0 d1 1 2.5", r"run.trec:7: not a line of a TREC run: 'q1 Q0 d1 1 2.5'"),
        ("q1 Q0 d1 1 2.5 tool more", r"run.trec:7: not a line of a TREC run: 'q1 Q0 d1 1 2.5 tool more'"),
        ("q1 Q0 d1 1 2.5 tool and more", r"not a TREC run .*line 7"),
        ("q1 Q0 d1 one 2.5 tool", r"run.trec:7: not a line"),
        ("q1 Q0 d1 1 nan tool", r"run.trec:7: not a line"),
        ("q1 Q0 d9 4 0.1 tool", r"ranks 'd9', which the corpus does not hold \(1 of 5 passages\)"),
        ("q1 Q0 d1 4 0.1 tool", r"passage 'd1' stands twice for query 'q1' \(1 such lines\)"),
        ("q1 Q0 d3 4 9.0 tool", r"query 'q1' has passage 'd1' at rank 1, which its scores contradict"),
    ],
)
def test_a_fault_is_named_with_where_it_is(take, line, said):
    with pytest.raises(BackfireError, match=said):
        take([*LINES, line])


def test_a_run_of_another_query_set_is_refused(take):
    with pytest.raises(BackfireError, match=r"none of its queries, as 'q9', is among those of .*, as 'q1'"):
        take(LINES[-1:])
    with pytest.raises(BackfireError, match="run.trec: it is empty"):
        take([])


def test_a_run_of_bm25s_is_judged_as_pytrec_eval_judges_it(take, tmp_path):
    """Written from what bm25s retrieves, as its own examples do."""
    ids = list(TEXTS)
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(list(TEXTS.values()), show_progress=False), show_progress=False)
    words = bm25s.tokenize(list(QUERIES.values()), show_progress=False)
    found, scores = retriever.retrieve(words, corpus=ids, k=3, show_progress=False)
    # Escaped, since the format has no room for an id with a space.
    lines = [
        f"{query} Q0 {doc_id.replace(' ', '%20')} {rank} {score} bm25s"
        for query, hits, values in zip(QUERIES, found, scores, strict=True)
        for rank, (doc_id, score) in enumerate(zip(hits, values, strict=True), start=1)
        if score > 0
    ]
    taken = take(lines)
    assert taken.keys() == QUERIES.keys()
    qrels = {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 1}, "q3": {"d3": 1, "d 4": 1}}
    judged = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank", "ndcg_cut_10", "map"})
    theirs = judged.evaluate({query: dict(hits) for query, hits in taken.items()})
    names = {"RR": "recip_rank", "nDCG@10": "ndcg_cut_10", "AP": "map"}
    measures = {name: ir_measures.parse_measure(name) for name in names}
    ours = score_run(iterate_run(tmp_path / "out.trec"), qrels, measures)
    for name, called in names.items():
        assert ours[name] == pytest.approx({query: values[called] for query, values in theirs.items()})
