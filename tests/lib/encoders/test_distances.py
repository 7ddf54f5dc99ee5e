"""A model made for Euclidean distances: searched by inner products, in the order that sentence-transformers gives."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from sentence_transformers import SentenceTransformer, util

from backfire.datasets.pydocs import collection_file
from backfire.encoders.certificate import certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode_passages, encode_queries
from backfire.encoders.similarity import EUCLIDEAN, searchable, similarities
from backfire.encoders.tokenizing import tokenize_passages
from backfire.explaining.sampling import sample_embeddings
from backfire.formats.embeddings import read_embeddings, read_vectors
from backfire.formats.tables import read_rows, write_rows
from backfire.negatives.hard import mine_hard
from backfire.negatives.table import base_scores
from backfire.retrieval.index import index_shard
from backfire.retrieval.search import search, stored_shards
from backfire.training.development import development_set
from backfire.training.model_vectors import ModelVectors

LENGTH, DEPTH = 64, 20


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_inner_products_give_the_distances_of_sentence_transformers(scale):
    rng = np.random.default_rng(0)
    queries, passages = (scale * rng.normal(size=(count, 32)).astype(np.float32) for count in (40, 500))
    products = searchable(queries, "query", EUCLIDEAN) @ searchable(passages, "document", EUCLIDEAN).T
    theirs = util.euclidean_sim(queries, passages).numpy()
    of_query = np.repeat(searchable(queries, "query", EUCLIDEAN), len(passages), axis=0)
    ours = similarities(products.reshape(-1), of_query).reshape(theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert (np.argsort(-products, axis=1)[:, :10] == np.argsort(-theirs, axis=1)[:, :10]).mean() > 0.999
    assert searchable(queries, "query", "dot") is queries


@pytest.fixture(scope="module")
def world(base_model, tmp_path_factory):
    """The base without its last module, judged by distance; 300 docstrings and the questions of 25 of them."""
    root = tmp_path_factory.mktemp("distances")
    shutil.copytree(base_model, root / "model")
    layout = json.loads((root / "model/modules.json").read_text())
    assert layout[-1]["type"].endswith("Normalize")
    (root / "model/modules.json").write_text(json.dumps(layout[:-1]))
    settings = json.loads((root / "model/config_sentence_transformers.json").read_text())
    (root / "model/config_sentence_transformers.json").write_text(
        json.dumps(settings | {"similarity_fn_name": EUCLIDEAN})
    )
    for note in ("certificate.json", "sums.json"):
        (root / "model" / note).unlink(missing_ok=True)
    records = [json.loads(line) for line in collection_file().open(encoding="utf-8")][:300]
    return (
        root,
        {row["doc_id"]: row["text"] for row in records},
        {f"q{n}": records[n]["query"] for n in range(0, 300, 12)},
    )


@pytest.fixture(scope="module")
def encoded(world):
    """Paths of the encoded queries, passages and index, and the library's similarities (queries, passages)."""
    root, passages, queries = world
    certify(root / "model", "model")
    paths = {name: str(root / f"{name}.parquet") for name in ("corpus", "queries", "tokens", "asked", "held", "qrels")}
    write_rows(paths["corpus"], "corpus", [{"doc_id": each, "text": text} for each, text in passages.items()])
    write_rows(paths["queries"], "queries", [{"query_id": each, "text": text} for each, text in queries.items()])
    judged = [{"query_id": each, "doc_id": list(passages)[int(each[1:])], "relevance": 1} for each in queries]
    write_rows(paths["qrels"], "qrels", judged)
    model = str(root / "model")
    tokenize_passages(model, [paths["corpus"]], [paths["tokens"]], LENGTH)
    encode_passages(model, [paths["tokens"]], [paths["held"]], [str(root / "cost.json")], "fp32", None, "passages")
    encode_queries(model, paths["queries"], paths["asked"], LENGTH, "fp32", None, "queries")
    index_shard(paths["held"], "Flat", str(root / "index.faiss"))
    library = SentenceTransformer(model, device="cpu")
    library.max_seq_length = LENGTH
    vectors = [library.encode_query(list(queries.values())), library.encode_document(list(passages.values()))]
    return paths | {"index": str(root / "index.faiss"), "model": model}, vectors, library.similarity(*vectors).numpy()


def test_files_hold_the_vectors_of_the_model_and_one_number_more(world, encoded):
    paths, vectors, _ = encoded
    for path, column, theirs in zip((paths["asked"], paths["held"]), ("query_id", "doc_id"), vectors, strict=True):
        ids, ours = read_vectors(path, column)
        assert ids == list(world[2] if column == "query_id" else world[1])
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert read_embeddings(path, column)[1].shape[1] == theirs.shape[1] + 1
    assert np.ptp(np.linalg.norm(vectors[1], axis=1)) > 0.05, "lengths differ, so the order is no cosine's"


def test_a_search_ranks_by_distance(world, encoded):
    paths, _, theirs = encoded
    columns = {doc_id: place for place, doc_id in enumerate(world[1])}
    asked, matrix = read_embeddings(paths["asked"], "query_id")
    found = dict(search(asked, matrix, stored_shards([paths["held"]], [paths["index"]], None), DEPTH))
    for row, query_id in enumerate(asked):
        # By similarities and not by ids: some docstrings are there twice.
        ours = [theirs[row, columns[doc_id]] for doc_id, _ in found[query_id]]
        np.testing.assert_allclose(ours, np.sort(theirs[row])[::-1][:DEPTH], atol=1e-5)


def test_mined_negatives_and_scores_carry_minus_the_distance(world, encoded, tmp_path):
    paths, _, theirs = encoded
    columns = {doc_id: place for place, doc_id in enumerate(world[1])}
    lines = {query_id: place for place, query_id in enumerate(world[2])}
    mine_hard(paths["asked"], [paths["held"]], [paths["index"]], DEPTH, str(tmp_path / "candidates.parquet"))
    rows = read_rows(tmp_path / "candidates.parquet", "candidates").to_pylist()
    assert len(rows) == DEPTH * len(lines)
    expected = [theirs[lines[row["query_id"]], columns[row["doc_id"]]] for row in rows]
    np.testing.assert_allclose([row["score"] for row in rows], expected, atol=1e-3)
    pairs = [pa.array([row[name] for row in rows]) for name in ("query_id", "doc_id")]
    np.testing.assert_allclose(base_scores(*pairs, paths["asked"], [paths["held"]]), expected, atol=1e-3)


def test_geometry_and_losses_see_the_vectors_of_the_model(world, encoded):
    paths, vectors, _ = encoded
    queries, passages = list(world[2]), list(world[1])
    found = ModelVectors(paths["asked"], (paths["held"],)).of(queries[:5], passages[:7])
    np.testing.assert_allclose(found, np.concatenate([vectors[0][:5], vectors[1][:7]]), atol=2e-5)
    ids, sample, _ = sample_embeddings([paths["held"]], 10, 0)
    rows = [passages.index(each) for each in ids]
    unit = vectors[1][rows] / np.linalg.norm(vectors[1][rows], axis=1, keepdims=True)
    np.testing.assert_allclose(sample, unit, atol=1e-5)


def test_the_watched_set_is_ranked_by_distance(world, encoded):
    paths, _, theirs = encoded
    encoder = load_encoder(paths["model"], "fp32")
    watched = development_set(paths["queries"], paths["qrels"], [paths["corpus"]], 25, 300, encoder.tokenizer, LENGTH)
    values, described = watched.look(encoder, ["RR@10"])
    values, ids = values["RR@10"], np.array(list(world[1]))
    right = np.zeros(theirs.shape, bool)
    right[range(len(theirs)), [int(query_id[1:]) for query_id in world[2]]] = True
    nearest = {
        "positive": np.where(right, theirs, -np.inf).max(axis=1),
        "negative": np.where(right, -np.inf, theirs).max(axis=1),
    }
    for name, scores in nearest.items():
        for percentile in (10, 50, 90):
            assert described[f"{name}_p{percentile}"] == pytest.approx(np.percentile(scores, percentile), abs=1e-3)
    for row, query_id in enumerate(world[2]):
        order = ids[np.argsort(-theirs[row], kind="stable")[:10]].tolist()
        answer = ids[int(query_id[1:])]
        assert values[query_id] == pytest.approx(1 / (order.index(answer) + 1) if answer in order else 0)
