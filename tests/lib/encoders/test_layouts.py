"""Every layout of model gives the vectors of sentence-transformers, by the path that is expected of it."""

import json

import numpy as np
import pytest
import torch
from small_models import LAYOUTS, router, static
from small_tokenizers import LIMIT

from backfire.encoders.certificate import TOLERANCE, certificate_of, certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode, vectors_and_norms

pytestmark = pytest.mark.usefixtures("one_thread")

# None of these is one of the texts that a certificate is made with.
TEXTS = [
    "which retriever ranks the passages of France best?",
    "Sort the ROWS of a Table, by Müller's second column",
    "",
    "東京 and Быстрая лиса 🦊",
    "one word after another, " * 40,
    "0 " + "the capital is not at the end " * 9 + "Peru",
]


def as_the_library(folder, kind, length):
    """Its vectors, the lengths of those that enter its last Normalize, if any, and how it compares."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}).float()
    if type(model[0]).__name__ != "StaticEmbedding":
        model.max_seq_length = length
    encode_kind = model.encode_query if kind == "query" else model.encode_document
    vectors = raw = encode_kind(TEXTS, batch_size=1, show_progress_bar=False)
    routers = [module for module in model if type(module).__name__ == "Router"]
    for modules in [model, *(side for each in routers for side in each.sub_modules.values())]:
        if type(modules[-1]).__name__ == "Normalize":
            del modules[-1]
            raw = encode_kind(TEXTS, batch_size=1, show_progress_bar=False)
    return vectors, np.linalg.norm(raw, axis=1), model.similarity_fn_name


def holds(folder, length=40):
    """The certificate of a model, after both kinds of text were encoded as the library does."""
    found = certify(folder, "model")
    assert certificate_of(folder) == found
    assert found.difference <= TOLERANCE
    assert str(folder) not in found.why
    encoder = load_encoder(folder, "fp32")
    for kind in ("query", "document"):
        expected, raw, similarity = as_the_library(folder, kind, length)
        ours, norms = vectors_and_norms(encoder, encoder.tokenize(TEXTS, kind, length), kind)
        np.testing.assert_allclose(norms, raw, rtol=TOLERANCE)
        # A text without tokens is a row of zeros where nothing is added to it.
        lengths = np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
        unit = ours / np.maximum(np.linalg.norm(ours, axis=1, keepdims=True), 1e-12)
        cosines = (unit * expected / lengths).sum(axis=1)
        assert (cosines[expected.any(axis=1)] >= 0.99999).all(), kind
        if similarity == "cosine":
            expected = expected / lengths
        assert np.abs(ours - expected).max() / max(1.0, lengths.max() if similarity != "cosine" else 1.0) <= TOLERANCE
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_the_vectors_of_sentence_transformers(name, tmp_path):
    layout = LAYOUTS[name]
    found = holds(layout.build(tmp_path / "model"))
    assert (found.tokens, found.forward) == (layout.tokens, layout.forward), found.why
    assert found.limit in (LIMIT, None)


@pytest.mark.parametrize("normalize", [True, False])
def test_static_embeddings_are_looked_up(tmp_path, normalize):
    folder = static(tmp_path / "model", normalize, prompts={"query": "a question: "})
    found = holds(folder, length=4096)
    assert (found.tokens, found.forward, found.limit) == ("fast", "static", None)


def test_static_embeddings_in_a_folder_of_their_own(tmp_path):
    folder = static(tmp_path / "model")
    place = folder / "0_StaticEmbedding"
    place.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).rename(place / name)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = place.name
    (folder / "modules.json").write_text(json.dumps(listed))
    assert holds(folder, length=4096).forward == "static"


def test_static_embeddings_for_dot_products_keep_their_length(tmp_path):
    found = holds(static(tmp_path / "model", normalize=False, similarity_fn_name="dot"), length=4096)
    assert (found.forward, found.similarity) == ("library", "dot")


def test_static_embeddings_whose_tokenizer_cuts_have_that_limit(tmp_path):
    folder = static(tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"direction": "Right", "max_length": 20, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    found = holds(folder, length=20)
    assert (found.forward, found.limit) == ("static", 20)


@pytest.mark.parametrize("document", ["bert-cls", "mpnet"])
def test_each_side_has_its_own_transformer(tmp_path, document):
    folder = router(tmp_path / "model", document=document, prompts={"query": "a question: "})
    assert holds(folder).forward == "library"
    model = load_encoder(folder, "fp32")
    query, passage = (encode(model, TEXTS[:2], kind, 40) for kind in ("query", "document"))
    assert np.abs(query - passage).max() > 0.1


def test_each_side_scales_to_unit_length_by_itself(tmp_path):
    folder = router(tmp_path / "model", query="bert-normalize", document="xlm-roberta")
    assert holds(folder).forward == "library"
    _, norms = vectors_and_norms(model := load_encoder(folder, "fp32"), model.tokenize(TEXTS, "query", 40), "query")
    assert np.abs(norms - 1).min() > 0.1
