"""Training with the real model: the objective, what is recorded, and models that load."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import LAYERS, LORA, SETTINGS

from backfire.encoders.encoder import load_encoder, load_tokenizer
from backfire.encoders.encoding import encode
from backfire.errors import BackfireError
from backfire.formats.tables import read_rows
from backfire.training.data import Examples
from backfire.training.steps import Diverged, Stepper
from backfire.training.trainable import load_start


def vectors(folder, texts=("Return a random choice.", "Compute the median of data.")):
    return encode(load_encoder(folder, "fp32"), list(texts), "document", 32, 512)


def test_every_look_keeps_its_queries_and_the_grade_that_counts(train, files, table, tmp_path):
    """One query in two has a passage of grade 2 and another of grade 1; the threshold decides which is looked for."""
    judged = read_rows(files["development_qrels"], "qrels").to_pylist()
    ones = [row | {"doc_id": other["doc_id"]} for row, other in zip(judged, judged[1:] + judged[:1], strict=True)]
    files["development_qrels"] = table("graded", "qrels", [*[row | {"relevance": 2} for row in judged[::2]], *ones])
    _, low, _ = train("low", relevant_from=1)
    _, high, _ = train("high", relevant_from=2)
    for name, rows, grade in (("low", low, 1), ("high", high, 2)):
        looks = read_rows(tmp_path / f"{name}.queries.parquet", "development").to_pylist()
        assert {row["step"] for row in looks} == {row["step"] for row in rows if row["dev_RR@10"] is not None}
        for row in rows:
            values = [look["value"] for look in looks if (look["step"], look["measure"]) == (row["step"], "RR@10")]
            if values:
                assert row["dev_RR@10"] == pytest.approx(sum(values) / len(values), abs=1e-15)
        asked = {look["query_id"] for look in looks}
        assert asked <= {row["query_id"] for row in ([*judged[::2], *ones] if grade == 1 else judged[::2])}
    assert [row["dev_RR@10"] for row in low] != [row["dev_RR@10"] for row in high]


def test_full_training_records_every_step_and_moves_the_model(train, base_model):
    folder, rows, cost = train("full")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert rows[0]["loss"] is None
    assert rows[0]["weight_drift"] == 0
    for row in rows[1:]:
        assert row["loss"] >= 0
        assert row["grad_norm"] >= 0
        assert 0 <= row["active_triplets"] <= 1
    assert 0 < rows[1]["weight_drift"] < rows[3]["weight_drift"] < 0.1
    assert [row["dev_RR@10"] is not None for row in rows] == [True, False, True, True]
    assert all(0 < row["dev_RR@10"] <= 1 for row in rows if row["dev_RR@10"] is not None)
    assert cost["training_time"] > 0
    assert cost["trainable_parameters"] == (30_522 + 512 + 2 + 2) * 384 + LAYERS * 1_774_464
    assert not np.allclose(vectors(folder), vectors(base_model), atol=1e-4)


def test_the_trained_model_loads_with_sentence_transformers_as_the_base_does(train, base_model):
    from sentence_transformers import SentenceTransformer

    folder, _, _ = train("full")
    model, base = SentenceTransformer(str(folder), device="cpu"), SentenceTransformer(str(base_model), device="cpu")
    assert model.max_seq_length == base.max_seq_length
    model.max_seq_length = 32
    np.testing.assert_allclose(model.encode(["Return a random choice."]), vectors(folder)[:1], atol=2e-6)
    assert not list(folder.rglob("*.bin"))


@pytest.mark.parametrize("more", [{}, {"method": "lora", "lora": LORA, "learning_rate": 1e-2}])
def test_a_model_of_queries_alone_stands_beside_the_passages_that_it_was_trained_against(train, base_model, more):
    from sentence_transformers import SentenceTransformer

    folder, rows, _ = train("queries", freeze="passages", **more)
    both, base = SentenceTransformer(str(folder / "both")), SentenceTransformer(str(base_model))
    text = ["Return a random choice."]
    np.testing.assert_allclose(both.encode_document(text), base.encode_document(text), atol=2e-6)
    np.testing.assert_allclose(both.encode(text), base.encode(text), atol=2e-6)
    np.testing.assert_allclose(both.encode_query(text), vectors(folder, text), atol=2e-6)
    assert not np.allclose(both.encode_query(text), base.encode_query(text), atol=1e-4)
    # What is watched is the pool as the start has it, whatever became of queries.
    pool = {row["pool_norm"] for row in rows if row["pool_norm"] is not None}
    seen = {row["positive_p50"] for row in rows if row["positive_p50"] is not None}
    assert len(pool) == 1 and len(seen) > 1


def test_lora_is_merged_and_its_adapter_gives_the_same_vectors(train, base_model):
    folder, rows, cost = train("lora", method="lora", lora=LORA, learning_rate=1e-2)
    assert cost["trainable_parameters"] == LAYERS * 2 * 2 * 384 * 4
    assert rows[-1]["weight_drift"] > 0
    unmerged = encode(load_encoder(base_model, "fp32", adapter=folder / "adapter"), ["a b c"], "query", 32, 512)
    np.testing.assert_allclose(unmerged, vectors(folder, ["a b c"]), atol=1e-5)
    assert not np.allclose(unmerged, vectors(base_model, ["a b c"]), atol=1e-4)
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    # The folder that it started from, which is not the prepared base of a study here.
    assert config["base_model_name_or_path"] == str(base_model)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(train):
    digests = [
        (train(name, seed=seed)[0] / "model.safetensors").read_bytes() for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_training_starts_from_another_variant(train):
    first, rows, _ = train("first", learning_rate=1e-4)
    _, continued, _ = train("second", start=first, learning_rate=1e-6)
    assert continued[0]["dev_RR@10"] == rows[-1]["dev_RR@10"]


def test_the_model_is_measured_as_it_will_be_encoded(train, base_model):
    """Also one with adapters, which are merged for it; the last row is what the saved model gives."""
    folder, rows, _ = train("lora", method="lora", lora=LORA, learning_rate=1e-2)
    _, again, _ = train("again", start=folder)
    assert rows[0]["dev_RR@10"] != rows[-1]["dev_RR@10"]
    assert again[0]["dev_RR@10"] == rows[-1]["dev_RR@10"]


def test_another_layout_is_trained_by_sentence_transformers(train, base_model, tmp_path):
    """The same weights behind a pooling that plain BERT does not have, then as a plain BERT: the same first steps."""
    other = tmp_path / "other-layout"
    shutil.copytree(base_model, other)
    config = json.loads((other / "1_Pooling" / "config.json").read_text())
    (other / "1_Pooling" / "config.json").write_text(json.dumps(config | {"include_prompt": False}))
    ours = train("plain", precision="fp32")
    theirs = train("other", start=other, precision="fp32")
    for one, two in zip(ours[1][1:], theirs[1][1:], strict=True):
        for name in ("loss", "grad_norm", "active_triplets", "learning_rate"):
            assert one[name] == pytest.approx(two[name], rel=2e-2), name
    assert theirs[1][-1]["weight_drift"] > 0
    np.testing.assert_allclose(vectors(theirs[0]), vectors(ours[0]), atol=2e-3)
    with_adapters = train("other-lora", start=other, method="lora", lora=LORA, learning_rate=1e-2)[0]
    beside = encode(load_encoder(other, "fp32", adapter=with_adapters / "adapter"), ["a b c"], "query", 32, 512)
    np.testing.assert_allclose(beside, vectors(with_adapters, ["a b c"]), atol=1e-5)


def test_what_backfire_noted_about_the_start_is_not_copied(train):
    first, _, _ = train("first", method="lora", lora=LORA)
    second, _, _ = train("second", start=first)
    assert {path.name for path in second.iterdir()} == {path.name for path in first.iterdir()} - {"adapter"}
    assert json.loads((second / "training.json").read_text())["start"] == str(first)


def test_training_a_plain_bert_loads_no_library_of_models():
    code = "import sys; import backfire.training.run; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert not {"transformers", "sentence_transformers", "peft", "datasets", "accelerate"} & set(loaded)


def test_a_target_that_fits_no_layer_names_the_layers(train, tmp_path):
    with pytest.raises(BackfireError, match="fit no layer") as caught:
        train("bad", method="lora", lora=LORA | {"target_modules": ["q_proj"]})
    assert "query" in caught.value.hint
    assert not (tmp_path / "bad").exists()


def test_a_loss_that_is_not_a_number_is_an_error_and_leaves_no_model(train, base_model, tmp_path):
    broken = tmp_path / "broken-start"
    shutil.copytree(base_model, broken)
    weights = load_file(broken / "model.safetensors")
    weights[f"encoder.layer.{LAYERS - 1}.output.LayerNorm.weight"][7] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackfireError, match="diverged.*development set is not finite") as caught:
        train("diverged", start=broken)
    assert "starts from" in caught.value.hint
    assert not (tmp_path / "diverged").exists()


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1.0e8, r"a vector of the development set is not finite after step 2: loss \d\.\d+, gradient norm \d"),
        (1.0e30, r"the weights are not finite after step 2: loss \d\.\d+, .* learning rate \S+e\+29, weight drift inf"),
    ],
)
def test_a_training_that_diverges_stops_at_the_step_and_leaves_no_model(train, real_model, tmp_path, rate, said):
    with pytest.raises(
        BackfireError, match=f"diverged: no model is written, since training diverged .{said}"
    ) as caught:
        train("diverged", real_model, learning_rate=rate, warmup_ratio=0.0, batch_size=2)
    assert "learning_rate" in caught.value.hint and "precision" in caught.value.hint
    assert not (tmp_path / "diverged").exists()


def test_a_step_whose_loss_is_not_a_number_stops_the_training(train, base_model, docstrings, tmp_path):
    """A word whose vector is too large to be squared, in training queries alone: the development set tells nothing."""
    tokenizer = load_tokenizer(base_model)

    def words(texts):
        return set(tokenizer.tokenize(texts, "query", 32).ids.tolist())

    asked = [query for _, query, _ in docstrings]
    own = words(asked[:12]) - words(asked[12:24]) - words([passage for _, _, passage in docstrings])
    broken = tmp_path / "broken-start"
    shutil.copytree(base_model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][min(own)] = 1e30
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackfireError, match=r"since training diverged .*step \d: loss nan, gradient norm nan"):
        train("diverged", start=broken)
    assert not (tmp_path / "diverged").exists()


def test_a_gradient_that_is_not_a_number_changes_no_weight(base_model):
    stepper = Stepper(load_start(str(base_model), SETTINGS, "base", 0, torch.device("cpu")), SETTINGS, 9, 0)
    tokens = stepper.model.tokenizer.tokenize(["a river", "a sea", "a market"], "query", 16)
    examples = Examples.of(tokens, np.array([[0, 1, 2]]))
    stepper.step(examples, np.array([0]))
    before = [weight.detach().clone() for weight in stepper.weights]
    stepper.weights[-1].register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(Diverged, match=r"step 2: loss 0\.\d+, gradient norm nan"):
        stepper.step(examples, np.array([0]))
    assert all(torch.equal(weight, old) for weight, old in zip(stepper.weights, before, strict=True))
