"""A teacher's scores, by sentence-transformers on the same pairs."""

import numpy as np
import pytest
import small_models
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

import short_passages
from backfire.encoders.folders import find_base
from backfire.errors import BackfireError
from backfire.formats.tables import read_rows, write_rows
from backfire.negatives import teacher
from backfire.negatives.teacher import prepare_teacher, score_teacher
from backfire.training.teacher import teacher_scores

pytestmark = pytest.mark.usefixtures("one_thread")
QUERIES = {"q1": "eigenvalues of a matrix", "q2": "a sorted copy of an array"}
PASSAGES = {name: short_passages.PASSAGES[name] for name in ("sort", "svd", "eig", "join")}
# Two examples of two negatives; a pair comes twice.
EXAMPLES = [("q1", "eig", "svd"), ("q1", "eig", "join"), ("q2", "sort", "join"), ("q2", "sort", "svd")]
PAIRS = [("q1", "eig"), ("q1", "svd"), ("q1", "join"), ("q2", "sort"), ("q2", "join"), ("q2", "svd")]


@pytest.fixture
def files(tmp_path):
    rows = [
        {"example": number // 2, "query_id": query, "positive_id": positive, "negative_id": negative, "source": "hard"}
        for number, (query, positive, negative) in enumerate(EXAMPLES)
    ]
    write_rows(tmp_path / "triples", "triples", rows)
    write_rows(tmp_path / "queries", "queries", [{"query_id": key, "text": text} for key, text in QUERIES.items()])
    write_rows(tmp_path / "corpus", "corpus", [{"doc_id": key, "text": text} for key, text in PASSAGES.items()])
    return {
        "triples": str(tmp_path / "triples"),
        "queries": str(tmp_path / "queries"),
        "corpus": [str(tmp_path / "corpus")],
        "label": "teach",
        "output": str(tmp_path / "scores"),
    }


@pytest.mark.parametrize("block", [1024, 2])
@pytest.mark.parametrize("kind", ["cross-encoder", "bi-encoder"])
def test_scores_are_those_of_the_library_each_pair_once(files, tmp_path, monkeypatch, kind, block):
    monkeypatch.setattr(teacher, "BLOCK", block)
    texts = [(QUERIES[query], PASSAGES[passage]) for query, passage in PAIRS]
    if kind == "cross-encoder":
        model = str(small_models.cross_encoder(tmp_path / "model"))
        expected = CrossEncoder(model, device="cpu", activation_fn=torch.nn.Identity()).predict(texts)
    else:
        model = str(find_base("sentence-transformers/all-MiniLM-L6-v2"))
        library = SentenceTransformer(model, device="cpu")
        both = (library.encode_query([each[0] for each in texts]), library.encode_document([each[1] for each in texts]))
        expected = library.similarity_pairwise(*both).numpy()
    prepare_teacher(kind, model, None, str(tmp_path / "taken"), "triples.hard.teacher.model")
    score_teacher(**files, model=str(tmp_path / "taken"), kind=kind, max_length=64)
    rows = read_rows(files["output"], "teacher").to_pylist()
    assert [(row["query_id"], row["doc_id"]) for row in rows] == PAIRS
    np.testing.assert_allclose([row["teacher_score"] for row in rows], expected, atol=1e-5)
    found = teacher_scores(files["output"], ["q2", "q1"], [["sort", "eig"], ["svd", "join"], ["join", "svd"]])
    places = [[3, 5, 4], [0, 2, 1]]
    np.testing.assert_allclose(found, np.array(expected)[places], atol=1e-5)
    assert found.dtype == np.float32 and found.flags["C_CONTIGUOUS"]


def test_a_pair_without_a_score_is_told(files):
    write_rows(files["output"], "teacher", [{"query_id": "q1", "doc_id": "eig", "teacher_score": 1.0}])
    with pytest.raises(BackfireError, match=r"no score of the query and the passage \('q1', 'svd'\)"):
        teacher_scores(files["output"], ["q1"], [["eig"], ["svd"]])


def test_a_bi_encoder_is_no_cross_encoder(tmp_path):
    model = str(find_base("sentence-transformers/all-MiniLM-L6-v2"))
    with pytest.raises(BackfireError, match=r"triples.hard.teacher.model: .* has no weights for classifier"):
        prepare_teacher("cross-encoder", model, None, str(tmp_path / "taken"), "triples.hard.teacher.model")
