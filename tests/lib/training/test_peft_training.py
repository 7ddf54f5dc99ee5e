"""Training with adapters of peft against a loop of its own around peft, and what such a training leaves."""

import math

import numpy as np
import pytest
import torch
from small_training import SETTINGS as SMALL

from backfire.encoders.bert import pool
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.training.data import Examples
from backfire.training.steps import Stepper
from backfire.training.trainable import load_start

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS, BATCH = 4, 6
SETTINGS = SMALL | {
    "method": "lora",
    "loss": {"name": "triplet", "distance": "cosine", "margin": 1.0, "normalize": True},
    "learning_rate": 1.0e-3,
    "batch_size": BATCH,
    "warmup_ratio": 0.25,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "precision": "fp32",
}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["query", "value"]}
KINDS = {
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "dora from pissa with biases": {"use_dora": True, "init_lora_weights": "pissa", "bias": "lora_only"},
}
# What peft calls the settings that have another name here.
NAMES = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
TEXTS = ["which passages answer a query about France?", "sort the ROWS of a table"]


@pytest.fixture(scope="module")
def columns():
    """Three columns of 24 texts of different lengths: a query, a passage that answers it, one that does not."""
    from backfire.planning.probe import words

    return [[words(3 + (row * step) % 29, 31 * row + step) for row in range(24)] for step in (5, 11, 17)]


def by_hand(base_model, columns, lora, start):
    """(losses, gradient norms, trained weights by name, model) of the same steps by torch around `get_peft_model`.

    `start`: the first weights of adapters that are drawn; those that follow from the base are left as peft makes them.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, BertModel

    base = BertModel.from_pretrained(base_model, attn_implementation="eager", add_pooling_layer=False)
    config = LoraConfig(**{NAMES.get(name, name): value for name, value in lora.items()})
    model = get_peft_model(base, config).eval()
    named = {
        name.removeprefix("base_model.model."): weight
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
    with torch.no_grad():
        for name, weight in start.items():
            named[name].copy_(weight)
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    matrices = [weight for weight in named.values() if weight.ndim > 1]
    others = [weight for weight in named.values() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: step if step < 1 else (STEPS - step) / 3)
    losses, norms = [], []
    for step in range(STEPS):
        query, positive, negative = (
            torch.nn.functional.normalize(embedded(model, tokenizer, column[step * BATCH : (step + 1) * BATCH]))
            for column in columns
        )
        loss = torch.relu((query * negative).sum(1) - (query * positive).sum(1) + 1.0).mean()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(named.values(), 0.5).item())
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses, norms, named, model


def embedded(model, tokenizer, texts):
    """Pooled vectors (texts, 384) of a model of transformers."""
    found = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
    hidden = model(input_ids=found["input_ids"], attention_mask=found["attention_mask"]).last_hidden_state
    return pool(hidden, found["attention_mask"], "mean")


def ours(base_model, columns, lora):
    """(first trained weights by name, steps, the model after them)."""
    settings = SETTINGS | {"lora": lora}
    model = load_start(str(base_model), settings, "base", 0, torch.device("cpu"))
    start = {name: weight.detach().clone() for name, weight in trained(model).items()}
    tokens = model.tokenizer.tokenize([text for column in columns for text in column], "document", 32)
    examples = Examples.of(tokens, np.arange(3 * len(columns[0])).reshape(3, -1).T)
    stepper = Stepper(model, settings, STEPS, 0)
    return start, [stepper.step(examples, np.arange(BATCH * step, BATCH * (step + 1))) for step in range(STEPS)], model


def trained(model):
    return {name: weight for name, weight in model.network.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
def test_some_steps_are_those_of_a_loop_around_peft(base_model, columns, tmp_path, kind):
    """Losses, norms and weights; the model that is measured; and the adapter, in peft around the base as it was."""
    from peft import PeftModel
    from transformers import AutoTokenizer, BertModel

    lora = LORA | KINDS[kind]
    start, steps, model = ours(base_model, columns, lora)
    drawn = start if lora.get("init_lora_weights", "gaussian") == "gaussian" else {}
    losses, norms, named, peer = by_hand(base_model, columns, lora, drawn)
    assert named.keys() == start.keys() == trained(model).keys()
    assert [step.loss for step in steps] == pytest.approx(losses, abs=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx(norms, rel=1e-3)
    for name, weight in trained(model).items():
        change = (named[name] - start[name]).norm()
        assert change > 0 or name.endswith("key.bias"), name
        torch.testing.assert_close(weight, named[name], atol=1e-5, rtol=1e-3, msg=lambda said, name=name: name + said)
    with torch.no_grad():
        tokenizer = AutoTokenizer.from_pretrained(base_model)
        theirs = torch.nn.functional.normalize(embedded(peer, tokenizer, TEXTS)).numpy()
        model.adapters.save("base", tmp_path)
        base = BertModel.from_pretrained(base_model, attn_implementation="eager", add_pooling_layer=False)
        again = PeftModel.from_pretrained(base, tmp_path).eval()
        saved = torch.nn.functional.normalize(embedded(again, tokenizer, TEXTS)).numpy()
    measured = encode(model.encoder(), TEXTS, "document", 32)
    np.testing.assert_allclose(measured, theirs, atol=2e-5)
    np.testing.assert_allclose(saved, measured, atol=2e-6)


def test_a_model_starts_where_a_start_leaves_it(base_model):
    """A decomposition moves no vector and counts as no drift; random adapters do both."""
    plain = encode(load_encoder(base_model, "fp32"), TEXTS, "document", 32)
    for init, moves in (("pissa", False), ("olora", False), (False, True)):
        settings = SETTINGS | {"lora": LORA | {"init_lora_weights": init}}
        model = load_start(str(base_model), settings, "base", 0, torch.device("cpu"))
        far = np.abs(encode(model.encoder(), TEXTS, "document", 32) - plain).max()
        drift = math.sqrt(sum(model.adapters.delta_norms_squared().values())) / math.hypot(*model.norms.values())
        assert (far > 1e-2, drift > 1e-2) == (moves, moves)
        assert moves or (far < 5e-6 and drift < 1e-6)
