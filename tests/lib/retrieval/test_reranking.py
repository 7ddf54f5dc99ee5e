"""Reranking against sentence-transformers' own."""

import json

import numpy as np
import pytest
import small_models
from sentence_transformers import CrossEncoder

import short_passages
from backfire.errors import BackfireError
from backfire.formats.tables import write_rows
from backfire.formats.trec import read_run, write_run
from backfire.retrieval import reranking
from backfire.retrieval.reranking import rerank

pytestmark = pytest.mark.usefixtures("one_thread")
PASSAGES = {name: short_passages.PASSAGES[name] for name in ("sort", "fft", "svd", "eig", "mean", "join")}
# The text of another one.
PASSAGES["again"] = PASSAGES["join"]
QUERIES = {"q2": "eigenvalues of a matrix", "q1": "a sorted copy", "q3": "put strings together"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reranking")
    small_models.cross_encoder(folder / "model")
    write_rows(folder / "queries", "queries", [{"query_id": name, "text": text} for name, text in QUERIES.items()])
    for number, some in enumerate((list(PASSAGES)[:4], list(PASSAGES)[4:])):
        write_rows(folder / f"corpus{number}", "corpus", [{"doc_id": name, "text": PASSAGES[name]} for name in some])
    order = list(PASSAGES)
    run = [(name, [(doc_id, 1 - rank / 10) for rank, doc_id in enumerate(order)]) for name in ("q2", "q3")]
    write_run(folder / "run", run, "base")
    return folder


def reranked(study, depth, **changes):
    arguments = {
        "run": study / "run",
        "queries": study / "queries",
        "corpus": [str(study / "corpus0"), str(study / "corpus1")],
        "model": study / "model",
        "depth": depth,
        "max_length": None,
        "tag": "again-seed-0",
        "label": "rerank",
        "output": study / "again",
        "cost": study / "cost.json",
    }
    rerank(**arguments | changes)
    return read_run(study / "again")


@pytest.mark.parametrize("depth", [4, 7, 100])
def test_the_first_passages_stand_as_the_library_ranks_them(study, depth):
    found = reranked(study, depth)
    assert list(found) == ["q2", "q3"], "a query without a ranking has none"
    library = CrossEncoder(str(study / "model"), device="cpu")
    for query_id, ranking in found.items():
        first = list(PASSAGES)[:depth]
        ranked = library.rank(QUERIES[query_id], [PASSAGES[doc_id] for doc_id in first])
        scores = {first[each["corpus_id"]]: each["score"] for each in ranked}
        expected = sorted(first, key=lambda doc_id: (-np.float32(scores[doc_id]).round(5), doc_id))
        assert [doc_id for doc_id, _ in ranking] == expected + list(PASSAGES)[depth:]
        values = [score for _, score in ranking]
        assert values == sorted(values, reverse=True)
        assert all(a > b for a, b in zip(values[depth - 1 :], values[depth:], strict=False)), "below, in order"
    cost = json.loads((study / "cost.json").read_text())
    assert cost["queries_reranked"] == 2 and cost["pairs"] == 2 * min(depth, 7) and cost["seconds_reranking"] > 0


def test_as_many_queries_at_a_time_as_are_held_change_nothing(study, monkeypatch):
    expected = reranked(study, 5)
    monkeypatch.setattr(reranking, "HELD", 1)
    assert reranked(study, 5) == expected


def test_passages_that_the_corpus_lacks_are_told(study):
    with pytest.raises(BackfireError, match="is not among the exported corpus"):
        reranked(study, 7, corpus=[str(study / "corpus0")])
