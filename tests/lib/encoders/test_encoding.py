"""Encoding: the same vectors as sentence-transformers, whatever shares a batch."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backfire.encoders.device import pick_device, pick_dtype
from backfire.encoders.encoder import Encoder, load_encoder
from backfire.encoders.encoding import encode, encode_passages, encode_queries, token_batches, vectors_and_norms
from backfire.encoders.tokenizing import tokenize_passages
from backfire.errors import BackfireError
from backfire.formats.embeddings import read_embeddings

CPU = torch.device("cpu")
TEXTS = [
    "Return the eigenvalues of a Hermitian matrix.",
    "",
    "x",
    "Fit the model to the training data. " * 40,
    "Ünïcödé, 数学 and emoji 🙂 in one line",
    "Compute the cosine similarity between two arrays of vectors, row by row.",
]


@pytest.fixture(scope="module")
def library(base_model):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(base_model), device="cpu")
    model.max_seq_length = 128
    return model


def test_fp32_equals_sentence_transformers(base_model, library):
    ours = encode(load_encoder(base_model, "fp32", CPU), TEXTS, "document", 128, 1024)
    theirs = library.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_vector_does_not_depend_on_its_batch(base_model, precision):
    encoder = load_encoder(base_model, precision, CPU)
    texts = [text for text in TEXTS if text] * 3
    together = encode(encoder, texts, "document", 128, 4096)
    alone = np.concatenate([encode(encoder, [text], "document", 128, 4096) for text in texts])
    small = encode(encoder, texts[::-1], "document", 128, 200)[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, small)


def test_bf16_stays_close_and_has_unit_norm(base_model):
    exact = encode(load_encoder(base_model, "fp32", CPU), TEXTS, "document", 128, 1024)
    fast = encode(load_encoder(base_model, "bf16", CPU), TEXTS, "document", 128, 1024)
    assert (exact * fast).sum(axis=1).min() > 0.9999
    np.testing.assert_allclose(np.linalg.norm(fast, axis=1), 1, atol=1e-6)


def test_another_layout_goes_through_sentence_transformers(base_model, library, tmp_path):
    folder = tmp_path / "with-max-pooling"
    shutil.copytree(base_model, folder)
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(
        json.dumps(
            json.loads(pooling.read_text()) | {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
        )
    )
    from sentence_transformers import SentenceTransformer

    ours = encode(load_encoder(folder, "fp32", CPU), TEXTS, "document", 128, 1024)
    theirs = SentenceTransformer(str(folder), device="cpu")
    theirs.max_seq_length = 128
    np.testing.assert_allclose(ours, theirs.encode(TEXTS), atol=2e-6)
    assert not np.allclose(ours, library.encode(TEXTS), atol=1e-2)


def test_a_prompt_that_the_model_names_is_used_for_its_kind_only(base_model, tmp_path):
    folder = tmp_path / "with-prompts"
    shutil.copytree(base_model, folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    plain, prompted = load_encoder(base_model, "fp32", CPU), load_encoder(folder, "fp32", CPU)
    assert np.array_equal(
        prompted.tokenize(["sort"], "query", 128).ids, plain.tokenize(["query: sort"], "query", 128).ids
    )
    assert np.array_equal(
        prompted.tokenize(["sort"], "document", 128).ids, plain.tokenize(["sort"], "document", 128).ids
    )


def test_too_long_for_the_model_is_an_error(base_model):
    with pytest.raises(BackfireError, match="takes at most 512"):
        encode(load_encoder(base_model, "fp32", CPU), ["x"], "query", 1024, 4096)


def test_fp16_needs_a_gpu():
    with pytest.raises(BackfireError, match="fp16 on a CPU"):
        pick_dtype("fp16", CPU)


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 600))
def test_batches_hold_every_row_once_within_the_budget(lengths, budget):
    batches = list(token_batches(np.array(lengths, np.int64), budget))
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(len({lengths[row] for row in rows}) == 1 for rows in batches)
    assert all(len(rows) == 1 or len(rows) * lengths[rows[0]] <= budget for rows in batches)


def test_a_batch_is_begun_before_the_one_before_it_is_fetched(base_model, monkeypatch):
    encoder, plain, order = load_encoder(base_model, "fp32", CPU), Encoder.begin, []
    tokens = encoder.tokenize(["one", "two words", "and three words"] * 4, "document", 128)
    whole = vectors_and_norms(encoder, tokens, "document")

    def begin(self, tokens, kind, rows=None):
        number, finish = sum(what == "begun" for what, _ in order), plain(self, tokens, kind, rows)
        order.append(("begun", number))

        def fetch():
            order.append(("fetched", number))
            return finish()

        return fetch

    monkeypatch.setattr(Encoder, "begin", begin)
    found = vectors_and_norms(encoder, tokens, "document", 16)
    assert all(np.array_equal(one, other) for one, other in zip(found, whole, strict=True))
    count = len(order) // 2
    assert count > 3
    assert order == [
        ("begun", 0),
        *(step for number in range(1, count) for step in (("begun", number), ("fetched", number - 1))),
        ("fetched", count - 1),
    ]


class Full(RuntimeError):
    """As cuBLAS tells that a GPU's memory is spent."""

    def __init__(self):
        super().__init__("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def test_a_batch_that_a_gpu_cannot_hold_is_halved_and_gives_the_same_vectors(base_model, monkeypatch, caplog):
    encoder, texts = load_encoder(base_model, "fp32", CPU), [text or "-" for text in TEXTS] * 20
    tokens, plain, sizes = encoder.tokenize(texts, "document", 128), Encoder.begin, []
    whole = vectors_and_norms(encoder, tokens, "document")

    def begin(self, tokens, kind, rows=None):
        sizes.append(len(rows))
        if len(rows) > 3:
            raise Full
        return plain(self, tokens, kind, rows)

    monkeypatch.setattr(Encoder, "begin", begin)
    halved = vectors_and_norms(encoder, tokens, "document")
    assert all(np.array_equal(found, expected) for found, expected in zip(halved, whole, strict=True))
    refused = [place for place, size in enumerate(sizes) if size > 3]
    # Once it is known what fits, no batch is refused any more.
    assert 0 < len(refused) < 8 and max(refused) < len(sizes) // 2
    assert caplog.text.count("does not hold a batch") == len(refused)


@pytest.mark.parametrize("error", [Full(), ValueError("another")])
def test_what_halving_cannot_help_is_an_error(base_model, monkeypatch, error):
    def begin(self, tokens, kind, rows=None):
        raise error

    monkeypatch.setattr(Encoder, "begin", begin)
    with pytest.raises(type(error)):
        encode(load_encoder(base_model, "fp32", CPU), ["one", "two"], "document", 128)


def test_files_keep_ids_in_order_and_record_cost(base_model, table, tmp_path):
    corpus = table("corpus", "corpus", [{"doc_id": f"d{i}", "text": text or "-"} for i, text in enumerate(TEXTS)])
    queries = table("queries", "queries", [{"query_id": f"q{i}", "text": text or "-"} for i, text in enumerate(TEXTS)])
    settings = {"precision": "fp32", "batch_tokens": 512, "label": "test"}
    tokens = str(tmp_path / "t.parquet")
    tokenize_passages(str(base_model), [corpus], [tokens], 128)
    encode_passages(str(base_model), [tokens], [str(tmp_path / "d.parquet")], [str(tmp_path / "c.json")], **settings)
    encode_queries(str(base_model), queries, str(tmp_path / "q.parquet"), max_length=128, **settings)
    doc_ids, passages = read_embeddings(tmp_path / "d.parquet", "doc_id")
    query_ids, vectors = read_embeddings(tmp_path / "q.parquet", "query_id")
    assert doc_ids == [f"d{i}" for i in range(len(TEXTS))]
    assert query_ids == [f"q{i}" for i in range(len(TEXTS))]
    assert passages.dtype == np.float32
    assert np.array_equal(passages, vectors)
    cost = json.loads((tmp_path / "c.json").read_text())
    assert cost["passages"] == len(TEXTS)
    assert cost["seconds"] > 0
    assert cost["peak_memory_mib"] > 50


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
@pytest.mark.parametrize("chosen", ["", "GPU-a"])
def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch, caplog, chosen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert pick_device() == CPU
    assert ("cannot use the GPU GPU-a" in caplog.text) == bool(chosen)
