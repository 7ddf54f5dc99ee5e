"""What a judge says of exchanges: planted labels that are missing, and the library's own scores."""

import numpy as np
import pytest
import small_models
import torch
from scipy.stats import binomtest
from sentence_transformers import CrossEncoder
from statsmodels.stats.proportion import proportion_confint

from backfire.encoders.folders import find_base
from backfire.explaining.queries.opinions import counted, judge_exchanges
from backfire.formats.tables import read_rows, write_rows
from backfire.negatives.teacher import prepare_teacher
from backfire.report.opinions import opinions_section
from backfire.study.judge import Judge

pytestmark = pytest.mark.usefixtures("one_thread")
QUERIES = {"q1": "sort a list in place", "q2": "eigenvalues of a matrix", "q3": "join two paths"}
PASSAGES = {
    "sort": "Sort the list in place and return None.",
    "sorted": "Sorts a list in place, in ascending order.",
    "eig": "Compute the eigenvalues of a square matrix.",
    "noise": "Return the current time zone's name.",
    "path": "Join two or more pathname components.",
}
# The passage answers q1 and nobody judged it; it answers q1 and was judged not to; it answers nothing.
LOST = [("q1", "noise", "sorted"), ("q3", "noise", "path"), ("q2", "eig", "noise")]


@pytest.fixture
def files(tmp_path):
    rows = [
        {"variant": name, "direction": "loss", "query_id": query, "answer_id": answer, "passage_id": passage}
        | {"kind": "other"}
        for name in ("tuned", "sorter")
        for query, answer, passage in LOST
    ]
    rows.append(rows[2] | {"direction": "gain"})
    write_rows(tmp_path / "exchanges", "exchanges", rows)
    judged = [("q1", "noise", 1), ("q2", "eig", 1), ("q3", "noise", 1), ("q3", "path", 0)]
    names = ("query_id", "doc_id", "relevance")
    write_rows(tmp_path / "qrels", "qrels", [dict(zip(names, row, strict=True)) for row in judged])
    write_rows(tmp_path / "queries", "queries", [{"query_id": key, "text": text} for key, text in QUERIES.items()])
    write_rows(tmp_path / "corpus", "corpus", [{"doc_id": key, "text": text} for key, text in PASSAGES.items()])
    return {
        **{name: str(tmp_path / name) for name in ("exchanges", "qrels", "queries")},
        "corpus": [str(tmp_path / "corpus")],
        "own": ["sorter"],
        "alpha": 0.05,
        "label": "judge",
        "opinions": str(tmp_path / "opinions"),
        "missing_labels": str(tmp_path / "missing"),
    }


def test_a_passage_that_answers_and_was_not_judged_is_a_missing_label(files, tmp_path):
    model = str(find_base("sentence-transformers/all-MiniLM-L6-v2"))
    prepare_teacher("bi-encoder", model, None, str(tmp_path / "judge"), "triples.hard.teacher.model")
    judge_exchanges(**files, model=tmp_path / "judge", kind="bi-encoder", max_length=64)
    said = read_rows(files["opinions"], "opinions").to_pylist()
    assert {row["variant"] for row in said} == {"tuned"}
    assert [row["grade"] for row in said] == [None, 0, None, None]
    assert [row["passage_score"] > row["answer_score"] for row in said] == [True, True, False, False]
    lost, won = read_rows(files["missing_labels"], "missing_labels").to_pylist()
    assert (lost["direction"], lost["queries"], lost["preferred"]) == ("loss", 3, 1)
    assert (won["direction"], won["queries"], won["preferred"]) == ("gain", 1, 0)
    section = opinions_section(
        files["missing_labels"], Judge("all-MiniLM", "bi-encoder", "", 64), ["base", "tuned"], 0.05
    )
    cells = [row["cells"] for row in section["rows"]]
    assert [cell[:2] for cell in cells] == [["3", "1"], ["1", "0"]] and cells[0][2].startswith("33")
    assert len(section["told"]) == 1 and "ranked worse" in section["told"][0]


def test_a_cross_encoder_gives_the_scores_of_the_library(files, tmp_path):
    model = str(small_models.cross_encoder(tmp_path / "model"))
    prepare_teacher("cross-encoder", model, None, str(tmp_path / "judge"), "variants.sorter.model")
    judge_exchanges(**files, model=tmp_path / "judge", kind="cross-encoder", max_length=None)
    library = CrossEncoder(model, device="cpu", activation_fn=torch.nn.Identity())
    for row in read_rows(files["opinions"], "opinions").to_pylist():
        pairs = [(QUERIES[row["query_id"]], PASSAGES[row[name]]) for name in ("answer_id", "passage_id")]
        np.testing.assert_allclose([row["answer_score"], row["passage_score"]], library.predict(pairs), atol=1e-5)


def test_no_exchange_is_no_opinion(files, tmp_path):
    model = str(small_models.cross_encoder(tmp_path / "model"))
    write_rows(files["exchanges"], "exchanges", [])
    judge_exchanges(**files, model=model, kind="cross-encoder", max_length=None)
    assert read_rows(files["opinions"], "opinions").num_rows == 0
    assert opinions_section(files["missing_labels"], Judge("m", "cross-encoder", "", None), ["base"], 0.05) is None


def rows(variant, direction, preferred, others):
    row = {"variant": variant, "direction": direction, "grade": None, "answer_score": 0.0}
    return [row | {"passage_score": 1.0}] * preferred + [row | {"passage_score": -1.0}] * others


def test_shares_have_wilsons_interval_and_losses_are_held_against_gains(tmp_path):
    said = rows("a", "loss", 30, 10) + rows("a", "gain", 10, 30) + rows("b", "loss", 5, 5) + rows("c", "gain", 1, 9)
    found = {(row["variant"], row["direction"]): row for row in counted(said, 0.05)}
    lost = found["a", "loss"]
    low, high = proportion_confint(30, 40, alpha=0.05, method="wilson")
    assert (lost["share"], lost["ci_low"], lost["ci_high"]) == pytest.approx((0.75, low, high))
    assert lost["p"] == found["a", "gain"]["p"] < 1e-4 and lost["p_adjusted"] == lost["p"]
    assert found["b", "loss"]["p"] is None and found["b", "gain"]["queries"] == 0
    assert found["c", "gain"]["ci_high"] == pytest.approx(binomtest(1, 10).proportion_ci(0.95, method="wilson").high)
    write_rows(tmp_path / "table", "missing_labels", list(counted(said, 0.05)))
    judge = Judge("m", "cross-encoder", "", None, reranked=["sorter"], followed=["b"])
    section = opinions_section(tmp_path / "table", judge, ["base", "a", "b", "c"], 0.05)
    assert any(
        "a: more often where it loses (30 of 40) than where it gains (10 of 40" in sentence
        for sentence in section["told"]
    )
    assert section["told"][-2:] == [
        "b learned from this judge, which is no independent opinion of that.",
        "Nothing is said of sorter, whose order is the judge's own.",
    ]
    assert [row["cells"] for row in section["rows"] if row["variant"] == "c"][0][0] == "0"
