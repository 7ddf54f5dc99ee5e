"""A step against sentence-transformers' trainer: the same losses, norms, rates and weights on the same batches."""

import numpy as np
import pytest
import torch
from small_models import LAYOUTS
from small_training import SETTINGS as SMALL

from backfire.encoders.certificate import certify
from backfire.encoders.settled import multiplied
from backfire.errors import BackfireError
from backfire.training import steps as training_steps
from backfire.training import trainable
from backfire.training.data import Examples
from backfire.training.objectives.triplet import violations
from backfire.training.sides import save_both
from backfire.training.steps import Diverged, Stepper
from backfire.training.trainable import PlainBert, load_start

CPU = torch.device("cpu")
SETTINGS = SMALL | {
    "batch_size": 6,
    "warmup_ratio": 0.3,
    "weight_decay": 0.1,
    "precision": "fp32",
}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["query", "value"]}

RANKING = {
    "name": "multiple_negatives_ranking",
    "scale": 20.0,
    "directions": ["query_to_doc"],
    "partition_mode": "joint",
}


@pytest.fixture(scope="module")
def base_model(real_model):
    """All of the real model: what a step does to it is compared with what is known of it."""
    return real_model


@pytest.fixture(scope="module")
def columns():
    """Three columns of 24 texts of different lengths: a query, a passage that answers it, one that does not."""
    from backfire.planning.probe import words

    return [[words(3 + (row * step) % 29, 31 * row + step) for row in range(24)] for step in (5, 11, 17)]


def our_steps(base_model, columns, settings, steps=4, batch=6):
    """What the steps were, and the model after them."""
    model = load_start(str(base_model), settings, "base", 0, CPU)
    tokens = model.tokenizer.tokenize([text for column in columns for text in column], "document", 32)
    examples = Examples.of(tokens, np.arange(3 * len(columns[0])).reshape(3, -1).T)
    stepper = Stepper(model, settings, steps, 0)
    return [stepper.step(examples, np.arange(batch * step, batch * (step + 1))) for step in range(steps)], model


def their_steps(base_model, columns, settings, folder, prepare=lambda model: None, loss=None, steps=4, **more):
    """Logs of sentence-transformers' trainer, and its model; the batches are taken in order."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss
    from torch.utils.data import BatchSampler, SequentialSampler

    model = SentenceTransformer(str(base_model), device="cpu", model_kwargs={"attn_implementation": "eager"})
    model.max_seq_length = settings["max_length"]
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    prepare(model)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings["batch_size"],
        num_train_epochs=1,
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=round(settings["warmup_ratio"] * steps),
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        batch_sampler=lambda data, batch_size, drop_last, **_: BatchSampler(
            SequentialSampler(data), batch_size, drop_last
        ),
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(dict(zip(("anchor", "positive", "negative"), columns, strict=True))),
        loss=loss(model) if loss else TripletLoss(model, TripletDistanceMetric.COSINE, settings["loss"]["margin"]),
    )
    trainer.train()
    return [row for row in trainer.state.log_history if "grad_norm" in row], model


def assert_same(ours, theirs, steps=4):
    assert len(ours) == len(theirs) == steps
    for step, row in zip(ours, theirs, strict=True):
        assert step.loss == pytest.approx(float(row["loss"]), abs=1e-4)
        assert step.grad_norm == pytest.approx(float(row["grad_norm"]), rel=1e-3)
        assert step.learning_rate == pytest.approx(float(row["learning_rate"]), rel=1e-6)


def test_full_training_is_that_of_the_library(base_model, columns, tmp_path):
    ours, model = our_steps(base_model, columns, SETTINGS)
    theirs, peer = their_steps(base_model, columns, SETTINGS, tmp_path)
    assert_same(ours, theirs)
    assert ours[0].loss != pytest.approx(ours[3].loss, abs=1e-3)
    start = load_start(str(base_model), SETTINGS, "base", 0, CPU).network
    assert_same_weights(model, peer[0].model.state_dict(), start, 0.05)


@pytest.mark.parametrize("loss", [SETTINGS["loss"], RANKING])
def test_training_of_queries_alone_is_that_of_the_library_with_one_side_of_a_router(
    base_model, columns, tmp_path, loss
):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    save_both(base_model, base_model, tmp_path / "both")

    def freeze(model):
        for module in model[0].sub_modules["document"]:
            module.requires_grad_(False)

    settings = SETTINGS | {"freeze": "passages", "loss": loss}
    ours, model = our_steps(base_model, columns, settings)
    sides = {"anchor": "query", "positive": "document", "negative": "document"}
    theirs, peer = their_steps(
        tmp_path / "both",
        columns,
        settings,
        tmp_path / "library",
        freeze,
        None if loss["name"] == "triplet" else MultipleNegativesRankingLoss,
        router_mapping=sides,
    )
    assert_same(ours, theirs)
    start = load_start(str(base_model), SETTINGS, "base", 0, CPU).network
    assert_same_weights(model, peer[0].sub_modules["query"][0].model.state_dict(), start, 0.05)
    kept = dict(model.passages.network.named_parameters())
    assert all(torch.equal(kept[name], weight) for name, weight in start.named_parameters())


def test_lora_training_is_that_of_the_library_around_peft(base_model, columns, tmp_path):
    from peft import LoraConfig, get_peft_model

    settings = SETTINGS | {"method": "lora", "lora": LORA, "learning_rate": 1e-3}
    start = dict(load_start(str(base_model), settings, "base", 0, CPU).network.named_parameters())

    def prepare(model):
        config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LORA["target_modules"])
        model[0].model = get_peft_model(model[0].model, config)
        with torch.no_grad():
            for name, weight in model[0].model.named_parameters():
                if "lora_" in name:
                    weight.copy_(start[name.removeprefix("base_model.model.").replace(".default", "")])

    ours, _ = our_steps(base_model, columns, settings)
    theirs, _ = their_steps(base_model, columns, settings, tmp_path, prepare)
    assert_same(ours, theirs)


def assert_same_weights(model, peer, start, share, cancels=()):
    """Weights after training, which differ by at most that share of how far they moved.

    Attention does not depend on the bias of the keys, and a loss perhaps not on what `cancels`: there a gradient is
    rounding alone.
    """
    for name, weight in start.state_dict().items():
        if not name.endswith(("key.bias", *cancels)):
            moved = (peer[name] - weight).norm()
            assert (model.network.state_dict()[name] - peer[name]).norm() <= share * moved, name


def test_the_papers_recipe_is_that_of_the_library_over_twenty_steps(base_model, columns, tmp_path):
    """Euclidean distance, margin 5, vectors as they are pooled, decay 0.01: what its authors ran, with defaults.

    AdamW divides a gradient by its own size, so where one is nearly zero its sign is rounding; this explains what the
    weights differ by.
    """
    from sentence_transformers.sentence_transformer.losses import TripletLoss

    loss = {"name": "triplet", "distance": "euclidean", "margin": 5.0, "normalize": False}
    settings = SETTINGS | {"loss": loss, "weight_decay": 0.01, "warmup_ratio": 0.1, "batch_size": 2}
    many = [(column * 2)[:40] for column in columns]

    def without_normalize(model):
        assert type(model[-1]).__name__ == "Normalize"
        del model[-1]

    ours, model = our_steps(base_model, many, settings, steps=20, batch=2)
    theirs, peer = their_steps(base_model, many, settings, tmp_path, without_normalize, TripletLoss, steps=20)
    assert_same(ours, theirs, 20)
    assert all(step.active == 1 for step in ours) and ours[0].loss > 4
    start = load_start(str(base_model), settings, "base", 0, CPU).network
    # A difference of two vectors does not depend on what is added to both.
    assert_same_weights(model, peer[0].model.state_dict(), start, 0.05, ["layer.5.output.LayerNorm.bias"])


def test_contrastive_training_is_that_of_the_library(base_model, columns, tmp_path):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss = {"name": "multiple_negatives_ranking", "scale": 20.0, "directions": ["query_to_doc"]}
    settings = SETTINGS | {"loss": loss | {"partition_mode": "joint"}}
    ours, model = our_steps(base_model, columns, settings)
    theirs, peer = their_steps(base_model, columns, settings, tmp_path, loss=MultipleNegativesRankingLoss)
    assert_same(ours, theirs)
    assert all(step.active is None for step in ours)
    start = load_start(str(base_model), settings, "base", 0, CPU).network
    assert_same_weights(model, peer[0].model.state_dict(), start, 0.05)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_batch_that_is_too_large_to_keep_has_the_same_gradient(base_model, columns, dropout, monkeypatch):
    loss = {"name": "multiple_negatives_ranking", "scale": 20.0, "directions": ["query_to_doc"]}
    settings = SETTINGS | {"loss": loss | {"partition_mode": "joint"}, "dropout": dropout, "warmup_ratio": 0.0}

    def gradient():
        model = load_start(str(base_model), settings, "base", 0, CPU)
        tokens = model.tokenizer.tokenize([text for column in columns for text in column], "document", 32)
        stepper = Stepper(model, settings, 1, 0)
        model.network.train()
        found = stepper._gradients(Examples.of(tokens, np.arange(72).reshape(3, -1).T), np.arange(24))
        return found.loss.item(), [weight.grad.clone() for weight in stepper.weights]

    monkeypatch.setattr(training_steps, "BATCH_TOKENS", {"cpu": 256})
    loss_kept, kept = gradient()
    monkeypatch.setattr(training_steps, "HELD_TOKENS", {"cpu": 0})
    loss_twice, twice = gradient()
    assert loss_twice == pytest.approx(loss_kept, rel=1e-6)
    whole = torch.cat([each.flatten() for each in kept])
    assert (torch.cat([each.flatten() for each in twice]) - whole).norm() <= 1e-6 * whole.norm()


@pytest.mark.parametrize("fits", [600, 10])
def test_a_step_that_a_gpu_cannot_hold_is_taken_in_smaller_parts(base_model, columns, fits, monkeypatch, caplog):
    """Its memory is spent in the middle of the backward pass, when some gradients have been added up."""
    settings, many = SETTINGS | {"dropout": 0.0, "warmup_ratio": 0.0}, [column * 6 for column in columns]
    whole, _ = our_steps(base_model, many, settings, steps=2, batch=72)
    plain = PlainBert.embed

    def embed(model, input_ids, attention_mask, kind):
        if input_ids.numel() > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(model, input_ids, attention_mask, kind)

    monkeypatch.setattr(PlainBert, "embed", embed)
    if fits < training_steps.SMALLEST_PART:
        with pytest.raises(torch.OutOfMemoryError):
            our_steps(base_model, many, settings, steps=2, batch=72)
        return
    parts, _ = our_steps(base_model, many, settings, steps=2, batch=72)
    assert "go through it together now" in caplog.text
    for one, other in zip(whole, parts, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-4)


@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-3), (multiplied()[-1], 3e-2)])
def test_looking_first_leaves_out_only_terms_that_are_zero(base_model, columns, precision, close, monkeypatch):
    settings = SETTINGS | {"loss": SETTINGS["loss"] | {"margin": 0.05}, "precision": precision, "warmup_ratio": 0.0}
    looked, _ = our_steps(base_model, columns, settings)
    monkeypatch.setattr(training_steps, "LOOK_FIRST", 0.0)
    whole, _ = our_steps(base_model, columns, settings)
    assert any(0 < step.active < 0.6 for step in looked)
    for one, other in zip(looked, whole, strict=True):
        assert one.active == other.active
        assert one.loss == pytest.approx(other.loss, abs=1e-3)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=close)


def test_a_batch_without_violations_still_takes_a_step(base_model, columns):
    settings = SETTINGS | {"loss": SETTINGS["loss"] | {"margin": 1e-6}, "warmup_ratio": 0.0, "learning_rate": 1e-3}
    same = [columns[0], columns[0], columns[2]]
    ours, model = our_steps(base_model, same, settings, steps=1)
    assert (ours[0].loss, ours[0].active, ours[0].grad_norm) == (0.0, 0.0, 0.0)
    # Weight decay alone: what has none stays where it was.
    start = load_start(str(base_model), settings, "base", 0, CPU).network.state_dict()
    for name, weight in model.network.state_dict().items():
        kept = 1.0 if name.endswith("bias") or "LayerNorm" in name else 1 - 1e-3 * 0.1
        torch.testing.assert_close(weight, kept * start[name], atol=1e-8, rtol=1e-6)


def test_the_loss_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    query, positive, negative = (torch.randn(50, 8, generator=generator) for _ in range(3))

    def cosine(one, other):
        return (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))

    expected = cosine(query, negative) - cosine(query, positive) + 0.2
    torch.testing.assert_close(violations(query, positive, negative, 0.2), expected)


def test_the_gradients_in_bf16_point_where_those_in_fp32_do(base_model, columns):
    """Also with a batch in many parts, whose gradients are added up one after another."""
    settings = SETTINGS | {"loss": SETTINGS["loss"] | {"margin": 2.0}, "warmup_ratio": 0.0}
    norms = [
        our_steps(base_model, columns, settings | {"precision": p}, steps=1, batch=24)[0]
        for p in ("fp32", multiplied()[-1])
    ]
    assert norms[1][0].loss == pytest.approx(norms[0][0].loss, rel=5e-3)
    assert norms[1][0].grad_norm == pytest.approx(norms[0][0].grad_norm, rel=2e-2)


@pytest.fixture
def small(tmp_path):
    """A small BERT: a processor takes minutes for what a GPU does in fp16."""
    folder = LAYOUTS["bert-mean"].build(tmp_path / "small")
    certify(folder, "small")
    return folder


@pytest.fixture
def fp16_anywhere(monkeypatch):
    """fp16 on this processor too, where it is slow and refused, but rounds and overflows as it does on a GPU."""
    monkeypatch.setattr(trainable, "arithmetic_of", lambda precision, device: precision)


def test_the_gradients_in_fp16_are_those_in_fp32_whatever_the_scale(small, columns, fp16_anywhere):
    settings = SETTINGS | {"loss": SETTINGS["loss"] | {"margin": 2.0}, "warmup_ratio": 0.0}
    single, half = (our_steps(small, columns, settings | {"precision": p})[0] for p in ("fp32", "fp16"))
    for one, other in zip(single, half, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=5e-3) and other.loss != one.loss
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=2e-2)


def test_a_step_in_fp16_that_overflows_changes_no_weight_and_halves_the_scale(small, columns, fp16_anywhere):
    settings = SETTINGS | {"loss": SETTINGS["loss"] | {"margin": 2.0}, "precision": "fp16", "warmup_ratio": 0.0}
    model = load_start(str(small), settings, "base", 0, CPU)
    tokens = model.tokenizer.tokenize([text for column in columns for text in column], "document", 32)
    examples, chosen = Examples.of(tokens, np.arange(72).reshape(3, -1).T), np.arange(6)
    stepper = Stepper(model, settings, 90, 0)
    stepper._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [weight.detach().clone() for weight in stepper.weights]
    assert stepper.step(examples, chosen).grad_norm == float("inf")
    assert stepper.taken == 1 and stepper.state().notes["scaler"]["scale"] == 2.0**39
    assert all(torch.equal(weight, old) for weight, old in zip(stepper.weights, before, strict=True))
    assert any(np.isfinite(stepper.step(examples, chosen).grad_norm) for _ in range(40))
    assert any(not torch.equal(weight, old) for weight, old in zip(stepper.weights, before, strict=True))
    # Another one goes on with the scale that was found.
    kept = stepper.state()
    other = Stepper(load_start(str(small), settings, "base", 0, CPU), settings, 90, 0)
    other.restore(kept)
    assert other.state().notes == kept.notes
    # What no scale helps is an end.
    stepper.weights[-1].register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(Diverged, match="gradient norm nan"):
        for _ in range(48):
            stepper.step(examples, chosen)


def test_fp16_is_refused_where_there_is_no_gpu(base_model):
    with pytest.raises(BackfireError, match="precision: fp16, but this job has no GPU") as caught:
        load_start(str(base_model), SETTINGS | {"precision": "fp16"}, "base", 0, CPU)
    assert "auto, bf16 or fp32" in caught.value.hint


def test_gradients_are_left_as_they_are_where_nothing_clips_them(base_model, columns):
    """Plain gradient descent tells lengths apart, which AdamW would divide away."""
    moved = []
    for norm in (1e-3, None):
        settings = SETTINGS | {"max_grad_norm": norm, "schedule": "constant", "learning_rate": 1.0}
        model = load_start(str(base_model), settings, "base", 0, CPU)
        tokens = model.tokenizer.tokenize([text for column in columns for text in column], "document", 32)
        stepper = Stepper(model, settings, 4, 0)
        stepper.optimiser = torch.optim.SGD(stepper.weights, lr=1.0)
        before = [weight.detach().clone() for weight in stepper.weights]
        step = stepper.step(Examples.of(tokens, np.arange(72).reshape(3, -1).T), np.arange(6))
        change = sum((weight - old).pow(2).sum() for weight, old in zip(stepper.weights, before, strict=True)) ** 0.5
        moved.append(float(change.detach()) / (step.learning_rate * (norm or step.grad_norm)))
    assert moved == pytest.approx([1.0, 1.0], rel=1e-3)
