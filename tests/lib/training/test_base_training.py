"""Training with the real model beside its base, whose vectors are on disk."""

import numpy as np
import pytest
import torch
from small_training import LORA, SETTINGS

from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.formats.embeddings import read_embeddings, write_embeddings
from backfire.formats.tables import read_rows
from backfire.training import steps as training_steps
from backfire.training.data import load_examples
from backfire.training.model_vectors import ModelVectors
from backfire.training.steps import Stepper
from backfire.training.trainable import load_start

TRIPLET = SETTINGS["loss"] | {"weight": 1.0}
RANKING = {"name": "multiple_negatives_ranking", "scale": 20.0, "directions": ["query_to_doc"], "weight": 1.0}
RANKING |= {"partition_mode": "joint"}
ANCHOR = {"name": "anchor", "texts": "both", "weight": 5.0}
GIST = {"name": "gist", "temperature": 0.05, "margin_strategy": "absolute", "margin": 0.0, "weight": 0.5}
GIST |= {"contrast_anchors": True, "contrast_positives": True}


def weighted(*terms):
    return {"name": "weighted", "terms": list(terms)}


@pytest.fixture
def based(files, base_model, tmp_path):
    """The files of the small collection, with the base's vectors in two shards."""
    encoder = load_encoder(base_model, "fp32")

    def write(name, kind, rows):
        text = encode(encoder, [row["text"] for row in rows], "query" if kind == "query_id" else "document", 32, 512)
        write_embeddings(tmp_path / name, kind, [row[kind] for row in rows], text)
        return str(tmp_path / name)

    passages = read_rows(files["corpus"][0], "corpus").to_pylist()
    files["base"] = [
        write("base-queries", "query_id", read_rows(files["queries"], "queries").to_pylist()),
        write("base-1", "doc_id", passages[:30]),
        write("base-2", "doc_id", passages[30:]),
    ]
    return files


@pytest.mark.parametrize("method", [{}, {"method": "lora", "lora": LORA, "learning_rate": 1e-2}])
def test_what_is_anchored_stays_nearer_to_the_base_and_its_terms_are_recorded(train, based, base_model, method):
    settings = {"learning_rate": 2e-4, "epochs": 2, "precision": "fp32"} | method
    held, rows, _ = train("held", loss=weighted(TRIPLET, ANCHOR), **settings)
    free, others, _ = train("free", **settings)
    assert rows[0]["loss_triplet"] is None and rows[0]["loss_anchor"] is None
    # It starts from the base's own vectors.
    if not method:
        assert rows[1]["loss_anchor"] == pytest.approx(0, abs=1e-6)
        assert rows[1]["loss_triplet"] == pytest.approx(others[1]["loss"], rel=1e-5)
    for row in rows[1:]:
        assert row["loss"] == pytest.approx(row["loss_triplet"] + 5 * row["loss_anchor"], rel=1e-5)
        assert 0 <= row["active_triplets"] <= 1
    assert rows[-1]["loss_anchor"] > 0
    assert not any(name.startswith("loss_") for name in others[0])
    texts = [row["text"] for row in read_rows(based["corpus"][0], "corpus").to_pylist()]
    base, *tuned = (
        encode(load_encoder(folder, "fp32"), texts, "document", 32, 512) for folder in (base_model, held, free)
    )
    near, far = (float((base * vectors).sum(axis=1).mean()) for vectors in tuned)
    assert 1 > near > far


def test_the_guide_trains_and_other_vectors_of_the_base_are_another_training(train, based, tmp_path):
    loss = {key: value for key, value in GIST.items() if key != "weight"}
    based["guide"] = based.pop("base")
    first, rows, _ = train("guided", loss=loss)
    assert all(row["loss"] > 0 and row["active_triplets"] is None for row in rows[1:])
    same = (first / "model.safetensors").read_bytes()
    assert (train("again", loss=loss)[0] / "model.safetensors").read_bytes() == same
    ids = [row["query_id"] for row in read_rows(based["queries"], "queries").to_pylist()]
    write_embeddings(based["guide"][0], "query_id", ids, np.random.default_rng(0).normal(size=(len(ids), 384)))
    # Not what the last one left under that name.
    assert (train("again", loss=loss)[0] / "model.safetensors").read_bytes() != same


def test_another_model_guides_by_its_own_vectors(train, based, tmp_path):
    loss = {key: value for key, value in GIST.items() if key != "weight"}
    own = based.pop("base")
    based["guide"] = own
    first = train("by base", loss=loss)[1]
    tables = [("query_id", own[0]), ("doc_id", own[1]), ("doc_id", own[2])]
    others = []
    for number, (column, path) in enumerate(tables):
        ids = read_embeddings(path, column)[0]
        # Of other dimensions, as another model's are.
        vectors = np.random.default_rng(number).normal(size=(len(ids), 32)).astype(np.float32)
        write_embeddings(tmp_path / f"other-{number}", column, ids, vectors)
        others.append(str(tmp_path / f"other-{number}"))
    based["guide"] = others
    other = train("by another", loss=loss)[1]
    assert [row["loss"] for row in other[1:]] != [row["loss"] for row in first[1:]]
    # Beside it the base, which an anchor holds on to.
    based["base"] = own
    rows = train("both", loss=weighted(GIST, ANCHOR))[1]
    assert rows[1]["loss_gist"] == pytest.approx(other[1]["loss"], rel=1e-5)
    assert rows[1]["loss_anchor"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("held_tokens", [1, 1 << 20])
def test_weights_near_the_start_as_autograd_takes_the_penalty(files, base_model, monkeypatch, held_tokens):
    """The gradient of the same sum, whose penalty autograd differentiates through all weights, away from the start."""
    monkeypatch.setitem(training_steps.HELD_TOKENS, "cpu", held_tokens)
    alpha, device = 3.0, torch.device("cpu")
    settings = SETTINGS | {"precision": "fp32", "learning_rate": 1e-3, "max_grad_norm": None, "schedule": "constant"}
    held = settings | {"loss": weighted(RANKING, {"name": "l2_sp", "weight": alpha})}
    model = load_start(str(base_model), held, "base", 0, device)
    examples = load_examples(files["triples"], files["queries"], files["corpus"], model.tokenizer, 32)
    stepper = Stepper(model, held, 3, 0)
    twin = Stepper(load_start(str(base_model), settings, "base", 0, device), settings | {"loss": RANKING}, 3, 0)
    start = [weight.detach().clone() for weight in twin.weights]
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one, other in zip(stepper.weights, twin.weights, strict=True):
            moved = 0.02 * torch.randn(one.shape, generator=noise)
            one.add_(moved)
            other.add_(moved)
    found = stepper._gradients(examples, np.arange(12))
    outcome = twin._gradients(examples, np.arange(12))
    penalty = sum((weight - old).square().sum() for weight, old in zip(twin.weights, start, strict=True)) / 2
    (alpha * penalty).backward()
    assert float(found.terms["l2_sp"]) == pytest.approx(float(penalty), rel=1e-5) and penalty > 1
    assert float(found.loss) == pytest.approx(float(outcome.loss + alpha * penalty), rel=1e-5)
    for one, other in zip(stepper.weights, twin.weights, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_what_is_held_near_its_start_moves_less(train):
    settings = {"learning_rate": 2e-4, "epochs": 2, "precision": "fp32"}
    free = train("free", loss=RANKING, **settings)[1]
    held = train("held", loss=weighted(RANKING, {"name": "l2_sp", "weight": 100.0}), **settings)[1]
    assert held[1]["loss_l2_sp"] == 0 < held[-1]["loss_l2_sp"]
    assert 0 < held[-1]["weight_drift"] < 0.9 * free[-1]["weight_drift"]


def test_a_batch_that_is_embedded_twice_has_the_same_gradient(based, base_model, monkeypatch):
    settings = SETTINGS | {"loss": weighted(RANKING, GIST, ANCHOR), "batch_size": 12, "precision": "fp32"}

    def gradient():
        model = load_start(str(base_model), settings, "base", 0, torch.device("cpu"))
        base = ModelVectors.at(based["base"])
        examples = load_examples(
            based["triples"], based["queries"], based["corpus"], model.tokenizer, 32, base=base, guide=base
        )
        stepper = Stepper(model, settings, 10, 0)
        first = stepper.step(examples, np.arange(12))
        return first, stepper.step(examples, np.arange(12)), stepper.judge(examples, 12)

    kept = gradient()
    monkeypatch.setitem(training_steps.HELD_TOKENS, "cpu", 1)
    again = gradient()
    for one, other in zip(kept[:2], again[:2], strict=True):
        assert list(one.terms) == ["multiple_negatives_ranking", "gist", "anchor"]
        assert (one.loss, one.grad_norm) == pytest.approx((other.loss, other.grad_norm), rel=1e-4)
    one, other = ((each.loss, each.accuracy, each.norm) for each in (kept[2], again[2]))
    assert one == pytest.approx(other, rel=1e-4) and kept[2].active is again[2].active is None
