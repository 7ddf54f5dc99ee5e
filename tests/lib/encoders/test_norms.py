"""Norms are the lengths of what sentence-transformers pools, text by text: real model, real text, on every path."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tokenizers import Tokenizer

from backfire.datasets.pydocs import collection_file
from backfire.encoders.certificate import certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode_passages, encode_queries, vectors_and_norms
from backfire.encoders.tokenizing import tokenize_passages
from backfire.formats.embeddings import read_norms, read_vectors

LENGTH = 64
PROMPTS = {"query": "a question about Python: ", "document": "documentation: "}


@pytest.fixture(scope="module")
def texts():
    """Passages of many lengths, so that batches take them out of their order."""
    return [json.loads(line)["text"] for line in collection_file().open(encoding="utf-8")][:1200:20]


def dense():
    torch.manual_seed(0)
    return Dense(384, 64, activation_function=torch.nn.Identity())


# What stands behind the real model's pooling, what its settings say, and by which path it is run.
MODELS = {
    "as it is": ([Normalize], {}, "bert"),
    "scaled twice": ([Normalize, Normalize], {}, "library"),
    "dense behind": ([Normalize, dense], {}, "library"),
    "cut": ([Normalize], {"truncate_dim": 48}, "library"),
    "dot": ([], {"similarity_fn_name": "dot"}, "bert"),
    "distance": ([dense], {"similarity_fn_name": "euclidean"}, "library"),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request, real_model, tmp_path_factory):
    """(folder, the library's model without a Normalize at its end, path that is expected, whether vectors are unit)."""
    behind, settings, path = MODELS[request.param]
    folder = tmp_path_factory.mktemp("models") / "model"
    pooled = list(SentenceTransformer(str(real_model), device="cpu"))[:2]
    made = SentenceTransformer(
        modules=[*pooled, *(make() for make in behind)], prompts=PROMPTS, device="cpu", **settings
    )
    made.save_pretrained(str(folder), create_model_card=False)
    certify(folder, "model")
    while type(made[-1]).__name__ == "Normalize":
        del made[-1]
    made.max_seq_length = LENGTH
    return folder, made, path, "similarity_fn_name" not in settings


def test_a_file_holds_the_length_of_each_texts_pooled_vector(model, texts, table, tmp_path):
    folder, pooled, path, unit = model
    assert json.loads((folder / "certificate.json").read_text())["forward"] == path
    names = [f"t{number}" for number in range(len(texts))]
    rows = list(zip(names, texts, strict=True))
    corpus = table("corpus", "corpus", [{"doc_id": name, "text": text} for name, text in rows])
    queries = table("queries", "queries", [{"query_id": name, "text": text} for name, text in rows])
    files = {name: str(tmp_path / f"{name}.parquet") for name in ("tokens", "doc_id", "query_id")}
    settings = {"precision": "fp32", "batch_tokens": 512, "label": "test"}
    tokenize_passages(str(folder), [corpus], [files["tokens"]], LENGTH)
    encode_passages(str(folder), [files["tokens"]], [files["doc_id"]], [str(tmp_path / "cost.json")], **settings)
    encode_queries(str(folder), queries, files["query_id"], LENGTH, **settings)
    lengths = []
    for column, encode in (("doc_id", pooled.encode_document), ("query_id", pooled.encode_query)):
        expected = encode(texts, batch_size=1, show_progress_bar=False)
        lengths.append(np.linalg.norm(expected, axis=1))
        ids, vectors = read_vectors(files[column], column)
        norms = read_norms(files[column], column)
        assert ids == names
        np.testing.assert_allclose(norms, lengths[-1], rtol=1e-5)
        # The direction that is stored is that of the vector whose length this is.
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(norms[:, None] * directions, expected, atol=2e-5)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1 if unit else norms, rtol=1e-5)
    # No two texts could be exchanged, nor the two kinds.
    assert np.ptp(lengths[0]) > 0.01 and np.abs(lengths[0] - lengths[1]).max() > 1e-3


def test_half_precision_hardly_changes_a_norm(real_model, texts):
    exact, half = (load_encoder(real_model, precision, torch.device("cpu")) for precision in ("fp32", "bf16"))
    tokens = exact.tokenize(texts, "document", LENGTH)
    norms, found = (vectors_and_norms(encoder, tokens, "document")[1] for encoder in (exact, half))
    np.testing.assert_allclose(found, norms, rtol=0.02)


def test_the_length_of_static_embeddings_is_that_of_the_mean(real_model, texts, tmp_path):
    """MiniLM's own table of tokens; a text without tokens has no length."""
    tokenizer = Tokenizer.from_file(str(real_model / "tokenizer.json"))
    tokenizer.no_truncation()
    rows = load_file(real_model / "model.safetensors")["embeddings.word_embeddings.weight"]
    table = StaticEmbedding(tokenizer, embedding_weights=rows)
    SentenceTransformer(modules=[table, Normalize()]).save_pretrained(str(tmp_path), create_model_card=False)
    assert certify(tmp_path, "model").forward == "static"
    encoder, asked = load_encoder(tmp_path, "fp32"), ["", *texts]
    vectors, norms = vectors_and_norms(encoder, encoder.tokenize(asked, "document", 4096), "document", 512)
    expected = SentenceTransformer(modules=[table]).encode_document(asked, batch_size=1)
    np.testing.assert_allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-5)
    np.testing.assert_allclose(norms[:, None] * vectors, expected, atol=1e-6)
    assert norms[0] == 0
