"""Adapters of peft on the real model: the same function merged, beside the weights, and in peft itself."""

import copy

import pytest
import torch
from torch import nn

from backfire.encoders import adapters
from backfire.encoders.bert import load_bert
from backfire.encoders.peft_adapters import PeftLora
from backfire.errors import BackfireError

PLAIN = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["query", "value"]}
IDS = torch.tensor([[101, 2709, 1037, 6721, 3601, 1012, 102, 0], [101, 24134, 1996, 3991, 102, 0, 0, 0]])
MASK = (IDS > 0).long()
KINDS = {
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "at random": {"init_lora_weights": False},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "mica": {"init_lora_weights": "mica"},
    "pissa": {"init_lora_weights": "pissa"},
    "fast pissa": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "dora from pissa": {"use_dora": True, "init_lora_weights": "pissa"},
    "rslora from pissa with patterns": {
        "use_rslora": True,
        "init_lora_weights": "pissa",
        "rank_pattern": {"layer.1.attention.self.query": 6},
        "alpha_pattern": {r"layer\.2\..*": 5, "layer.1.attention.self.query": 3},
    },
    "all biases": {"bias": "all"},
    "own biases of dora from olora": {"bias": "lora_only", "use_dora": True, "init_lora_weights": "olora"},
    "all linear": {"target_modules": "all-linear"},
    "a pattern": {"target_modules": r".*layer\.[45]\..*(query|dense)"},
    "some layers": {"layers_to_transform": [1, 2], "layers_pattern": "layer", "exclude_modules": ["value"]},
}


def outputs(model):
    """Hidden states of the tokens that are there."""
    with torch.no_grad():
        return model(IDS, MASK)[MASK == 1]


@torch.no_grad()
def moved(model):
    """The model after every trained weight has been moved at random."""
    generator = torch.Generator().manual_seed(1)
    for _, weight in sorted(model.named_parameters()):
        if weight.requires_grad:
            weight += 0.01 * torch.randn(weight.shape, generator=generator)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_one_function_merged_and_beside_the_weights_and_in_peft(base_model, tmp_path, kind):
    """The saved adapter is one to the weights that there were, also where its start takes something out of them."""
    from peft import PeftModel
    from transformers import BertModel

    plain, model = load_bert(base_model), load_bert(base_model)
    attached = adapters.attach(model, PLAIN | KINDS[kind], 0)
    assert isinstance(attached, PeftLora)
    no_effect = kind not in {"at random"}
    assert torch.allclose(outputs(model), outputs(plain), atol=5e-6) == no_effect
    expected = outputs(moved(model))
    assert (expected - outputs(plain)).abs().max() > 5e-3
    attached.save("all-MiniLM-L6-v2", tmp_path)

    beside = load_bert(base_model)
    adapters.apply_adapter(beside, tmp_path)
    torch.testing.assert_close(outputs(beside), expected, atol=5e-6, rtol=1e-5)
    assert not any(weight.requires_grad for weight in beside.parameters())
    base = BertModel.from_pretrained(base_model, attn_implementation="eager", add_pooling_layer=False)
    with torch.no_grad():
        peers = PeftModel.from_pretrained(base, tmp_path).eval()(IDS, MASK).last_hidden_state[MASK == 1]
    torch.testing.assert_close(peers, expected, atol=5e-6, rtol=1e-5)

    merged, drift = copy.deepcopy(model), sum(attached.delta_norms_squared().values())
    assert torch.equal(outputs(model), expected)
    attached.merge(merged)
    torch.testing.assert_close(outputs(merged), expected, atol=5e-6, rtol=1e-5)
    weights, start = merged.state_dict(), plain.state_dict()
    assert weights.keys() == start.keys() and [type(m) for m in merged.modules()] == [type(m) for m in plain.modules()]
    distance = sum((weights[name] - start[name]).double().square().sum().item() for name in start)
    assert drift == pytest.approx(distance, rel=1e-5)


@pytest.mark.parametrize("kind", ["gaussian", "at random", "orthogonal", "fast pissa", "dora"])
def test_what_is_drawn_depends_on_the_seed_and_the_layer_alone(base_model, kind):
    few, many, other = (load_bert(base_model) for _ in range(3))
    adapters.attach(few, PLAIN | KINDS[kind] | {"target_modules": ["value"]}, 0)
    adapters.attach(many, PLAIN | KINDS[kind] | {"target_modules": ["query", "key", "value", "dense"]}, 0)
    adapters.attach(other, PLAIN | KINDS[kind], 1)
    drawn = [model.encoder.layer[3].attention.self.value.lora_A.default.weight for model in (few, many, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("use_rslora", "scale"), [(False, 2.0), (True, 4.0)])
def test_the_update_is_scaled_by_the_rank_or_its_root(base_model, use_rslora, scale):
    model = load_bert(base_model)
    adapters.attach(model, PLAIN | {"use_rslora": use_rslora}, 0)
    layer = moved(model).encoder.layer[0].attention.self.query
    inputs = torch.randn(9, 384, generator=torch.Generator().manual_seed(0))
    update = inputs @ layer.lora_A.default.weight.T @ layer.lora_B.default.weight.T
    torch.testing.assert_close(layer(inputs) - layer.base_layer(inputs), scale * update, atol=1e-5, rtol=1e-4)


def test_a_written_adapter_has_the_same_bytes_again(base_model, tmp_path):
    for name in ("one", "two"):
        attached = adapters.attach(load_bert(base_model), PLAIN | KINDS["olora"], 0)
        attached.save("all-MiniLM-L6-v2", tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "said", "hint"),
    [
        ({"target_modules": ["q_proj"]}, "target_modules: q_proj is no linear layer", "dense, key, query, value"),
        ({"target_modules": ["query", "word_embeddings"]}, "word_embeddings is no linear layer", "dense, key, query"),
        ({"target_modules": "query"}, "target_modules: 'query' is the whole name of no linear layer", "query"),
        ({"target_modules": r".*(query|word_embeddings)"}, "embeddings.word_embeddings is among them", "linear layers"),
        ({"exclude_modules": ["pooler"]}, "exclude_modules: pooler is no linear layer", "dense, key"),
        ({"exclude_modules": ["query", "value"]}, "exclude_modules: it leaves no adapter", "dense, key"),
        ({"layers_to_transform": [5, 6]}, "layers_to_transform: 6 is no layer", "numbered 0 to 5"),
        ({"layers_to_transform": 1, "layers_pattern": ["block"]}, "transform: 1 is no layer", "layers_pattern"),
        ({"rank_pattern": {"key": 2}}, "rank_pattern: 'key' means no adapted layer", "layer.0.attention.self.query"),
        ({"rank": 400, "init_lora_weights": "pissa"}, "lora.rank: 400, but .* has a rank of 384", "at most 384"),
        ({"rank": 400, "init_lora_weights": "mica"}, r"peft does not take .*MiCA requires `r` <= min", "dense, key"),
        ({"rank": 3, "init_lora_weights": "orthogonal"}, "peft does not take .* to be even, got 3", "dense, key"),
        ({"init_lora_weights": "corda"}, "peft does not take .*preprocess_corda", "dense, key"),
        ({"use_dora": True, "init_lora_weights": "mica"}, "peft does not take .*variant combination", "dense, key"),
        ({"use_doora": True}, "peft does not take .*use_doora", "dense, key"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_there_is(base_model, settings, said, hint):
    with pytest.raises(BackfireError, match=said) as caught:
        adapters.attach(load_bert(base_model), PLAIN | {"bias": "none"} | settings, 0)
    assert hint in caught.value.hint


def test_the_linear_layers_of_gpt2_are_adapted(tmp_path):
    """They have a class of their own, whose weights lie the other way round."""
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(vocab_size=60, n_positions=20, n_embd=16, n_layer=2, n_head=2)
    torch.manual_seed(0)
    model = GPT2Model(config).eval()
    start, layer = copy.deepcopy(model), model.h[0].attn.c_attn
    assert not isinstance(layer, nn.Linear)
    attached = adapters.attach(model, PLAIN | {"target_modules": ["c_attn"], "init_lora_weights": "pissa"}, 0)
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        expected = moved(model)(ids).last_hidden_state
        attached.save("gpt2", tmp_path)
        adapters.apply_adapter(beside := copy.deepcopy(start), tmp_path)
        torch.testing.assert_close(beside(ids).last_hidden_state, expected, atol=1e-5, rtol=1e-4)
        drift = sum(attached.delta_norms_squared().values())
        attached.merge(model)
        torch.testing.assert_close(model(ids).last_hidden_state, expected, atol=1e-5, rtol=1e-4)
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    assert drift == pytest.approx(sum((one - two).double().square().sum().item() for one, two in pairs), rel=1e-4)
