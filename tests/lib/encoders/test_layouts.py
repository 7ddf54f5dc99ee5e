"""Every layout of model gives the vectors of sentence-transformers, by the path that is expected of it."""

import numpy as np
import pytest
import torch
from small_models import LAYOUTS
from small_tokenizers import LIMIT

from backfire.encoders.certificate import TOLERANCE, certificate_of, certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode

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
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}).float()
    model.max_seq_length = length
    encode_kind = model.encode_query if kind == "query" else model.encode_document
    return encode_kind(TEXTS, batch_size=1, show_progress_bar=False), model.similarity_fn_name


def holds(folder, length=40):
    """The certificate of a model, after both kinds of text were encoded as the library does."""
    found = certify(folder, "model")
    assert certificate_of(folder) == found
    assert found.difference <= TOLERANCE
    encoder = load_encoder(folder, "fp32")
    for kind in ("query", "document"):
        expected, similarity = as_the_library(folder, kind, length)
        ours = encode(encoder, TEXTS, kind, length)
        lengths = np.linalg.norm(expected, axis=1, keepdims=True)
        unit = ours / np.linalg.norm(ours, axis=1, keepdims=True)
        assert ((unit * expected / lengths).sum(axis=1) >= 0.99999).all(), kind
        if similarity == "cosine":
            expected = expected / lengths
        assert np.abs(ours - expected).max() / max(1.0, lengths.max() if similarity == "dot" else 1.0) <= TOLERANCE
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_the_vectors_of_sentence_transformers(name, tmp_path):
    layout = LAYOUTS[name]
    found = holds(layout.build(tmp_path / "model"))
    assert (found.tokens, found.forward) == (layout.tokens, layout.forward), found.why
    assert found.limit in (LIMIT, None)
