"""Static embeddings: the vectors of sentence-transformers without importing it, or torch."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from backfire.encoders.certificate import certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import ENCODED_AT_ONCE, encode, encode_passages
from backfire.encoders.tokenizing import tokenize_passages
from backfire.errors import BackfireError
from backfire.formats.embeddings import read_embeddings
from backfire.training.trainable import load_start

TEXTS = [
    "Return the eigenvalues of a Hermitian matrix.",
    "",
    "x",
    "Fit the model to the training data. " * 60,
    "Ünïcödé, 数学 and emoji 🙂 in one line",
    "\t \n",
    "Compute the cosine similarity between two arrays of vectors, row by row.",
]


@pytest.fixture(scope="module")
def library(base_model):
    """A static model of the real token embeddings and tokenizer of MiniLM, as sentence-transformers makes it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    tokenizer = Tokenizer.from_file(str(base_model / "tokenizer.json"))
    tokenizer.no_truncation()
    weights = load_file(base_model / "model.safetensors")["embeddings.word_embeddings.weight"]
    module = StaticEmbedding(tokenizer, embedding_weights=weights.astype(np.float32))
    return SentenceTransformer(modules=[module, Normalize()], device="cpu")


@pytest.fixture(scope="module")
def folder(library, tmp_path_factory):
    path = tmp_path_factory.mktemp("static") / "model"
    library.save_pretrained(str(path), create_model_card=False)
    return path


def test_vectors_are_those_of_sentence_transformers(library, folder):
    ours = encode(load_encoder(folder, "fp32"), TEXTS, "document", 4096, 512)
    np.testing.assert_allclose(ours, library.encode(TEXTS), atol=1e-6)
    norms = np.linalg.norm(ours, axis=1)
    np.testing.assert_allclose(norms[[0, 2, 3, 4, 6]], 1, atol=1e-6)
    assert norms[1] == norms[5] == 0


def test_static_embeddings_are_not_trained(folder):
    settings = {"precision": "fp32", "dropout": None, "method": "full"}
    with pytest.raises(BackfireError, match="'words' is a model of static embeddings"):
        load_start(str(folder), settings, "words", 0, torch.device("cpu"))


def test_a_vector_does_not_depend_on_its_batch(folder):
    encoder = load_encoder(folder, "fp32")
    together = encode(encoder, TEXTS * 3, "document", 128, 100_000)
    alone = np.concatenate([encode(encoder, [text], "document", 128, 16) for text in TEXTS * 3])
    assert together.tobytes() == alone.tobytes()


def test_text_beyond_the_maximum_length_does_not_count(library, folder):
    encoder = load_encoder(folder, "fp32")
    words = ["fit", "the", "model", "to", "the", "training", "data", "again", "and", "again"]
    cut = encode(encoder, [" ".join(words)], "document", 4, 512)
    np.testing.assert_allclose(cut, library.encode([" ".join(words[:4])]), atol=1e-6)
    # A later call with another length is not bound by the earlier one.
    np.testing.assert_allclose(
        encode(encoder, [" ".join(words)], "document", 64, 512), library.encode([" ".join(words)]), atol=1e-6
    )


def test_a_limit_in_the_tokenizer_is_the_models(folder, base_model, tmp_path):
    for name in ("modules.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    # The published file cuts at 128 tokens.
    (tmp_path / "tokenizer.json").write_bytes((base_model / "tokenizer.json").read_bytes())
    encoder = load_encoder(tmp_path, "fp32")
    with pytest.raises(BackfireError, match="129 tokens, but this model takes at most 128"):
        encode(encoder, ["x"], "query", 129, 512)
    assert np.array_equal(encode(encoder, TEXTS, "query", 128, 512), encode(encoder, TEXTS, "query", 128, 512))


def test_a_prompt_that_the_model_names_is_used_for_its_kind_only(library, folder, tmp_path):
    for name in ("modules.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    encoder = load_encoder(tmp_path, "fp32")
    query, document = (encode(encoder, ["sort"], kind, 64, 512) for kind in ("query", "document"))
    np.testing.assert_allclose(query, library.encode(["query: sort"]), atol=1e-6)
    np.testing.assert_allclose(document, library.encode(["sort"]), atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            {"other": np.zeros((30522, 4), np.float32)},
            "sentence-transformers cannot load this model (KeyError: 'embeddings').",
        ),
        (
            {"embedding.weight": np.zeros((30521, 4), np.float32)},
            "the tokenizer knows 30522 tokens, the model 30521; some would be out of range.",
        ),
        (
            {"embedding.weight": np.zeros((30522, 4), np.int8)},
            "sentence-transformers cannot load this model (RuntimeError: Only Tensors of floating point and complex "
            "dtype can require gradients).",
        ),
    ],
    ids=["another name", "a row too few", "integers"],
)
def test_other_weights_are_refused(folder, tmp_path, weights, said):
    for name in ("modules.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BackfireError) as caught:
        load_encoder(tmp_path, "fp32")
    assert caught.value.message == f"{tmp_path}: {said}"


def test_a_table_under_the_name_of_model2vec_is_run_by_the_library(folder, tmp_path):
    """Its rows may be shared between tokens, and have weights of their own."""
    from sentence_transformers import SentenceTransformer

    for name in ("modules.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    table = load_file(folder / "model.safetensors")["embedding.weight"]
    rows = np.arange(30522)[::-1].copy()
    weights = np.linspace(0.5, 1.5, 30522, dtype=np.float32)
    save_file({"embeddings": table, "mapping": rows, "weights": weights}, tmp_path / "model.safetensors")
    assert certify(tmp_path, "model").forward == "library"
    ours = encode(load_encoder(tmp_path, "fp32"), TEXTS, "document", 4096, 512)
    expected = SentenceTransformer(str(tmp_path), device="cpu").encode_document(TEXTS, batch_size=1)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_neither_torch_nor_transformers_is_loaded(folder, tmp_path):
    folder = shutil.copytree(folder, tmp_path / "model")
    certify(folder, "model")
    code = (
        "import sys\n"
        "from backfire.encoders.encoder import load_encoder\n"
        "from backfire.encoders.encoding import encode\n"
        "vectors = encode(load_encoder(sys.argv[1], 'auto'), ['some text'], 'query', 64, 512)\n"
        "print(vectors.shape, *sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 384)\n"


def test_a_file_of_many_pieces_has_the_vectors_of_its_texts(folder, table, tmp_path):
    count = 2 * ENCODED_AT_ONCE + 3
    texts = [f"{TEXTS[row % len(TEXTS)]} {row}" for row in range(count)]
    corpus = table("corpus", "corpus", [{"doc_id": f"d{row}", "text": text} for row, text in enumerate(texts)])
    settings = {"precision": "fp32", "batch_tokens": 4096, "label": "test"}
    tokens, written, cost = ([str(tmp_path / name)] for name in ("t.parquet", "d.parquet", "c.json"))
    tokenize_passages(str(folder), [corpus], tokens, 32)
    encode_passages(str(folder), tokens, written, cost, **settings)
    ids, vectors = read_embeddings(tmp_path / "d.parquet", "doc_id")
    assert ids == [f"d{row}" for row in range(count)]
    chosen = list(range(0, count, 997))
    alone = encode(load_encoder(folder, "fp32"), [texts[row] for row in chosen], "document", 32, 4096)
    assert np.array_equal(vectors[chosen], alone)
    assert json.loads((tmp_path / "c.json").read_text())["passages"] == count
