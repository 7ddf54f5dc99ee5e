"""LoRA against peft, on the real model: forward pass, gradients, merged weights, and the files."""

import pytest
import torch

from backfire.encoders import adapters
from backfire.encoders.bert import load_bert
from backfire.errors import BackfireError

SETTINGS = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["query", "value"]}
IDS = torch.tensor([[101, 2709, 1037, 6721, 3601, 1012, 102, 0], [101, 24134, 1996, 3991, 102, 0, 0, 0]])
MASK = (IDS > 0).long()


def adapted(base_model, settings=SETTINGS, seed=0):
    """The real model with adapters whose B is not zero, and these."""
    model = load_bert(base_model)
    attached = adapters.attach(model, settings, seed)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02, generator=generator)
    return model, attached


def by_peft(attached, folder, base_model):
    """Adapters as they are saved, loaded by peft around transformers' own BERT."""
    from peft import PeftModel
    from transformers import BertModel

    attached.save("all-MiniLM-L6-v2", folder)
    base = BertModel.from_pretrained(base_model, attn_implementation="eager", add_pooling_layer=False).eval()
    return PeftModel.from_pretrained(base, folder, is_trainable=True).eval()


def test_a_saved_adapter_is_the_same_function_with_the_same_gradients_in_peft(base_model, tmp_path):
    model, attached = adapted(base_model)
    peer = by_peft(attached, tmp_path, base_model)
    ours, theirs = model(IDS, MASK)[MASK == 1], peer(IDS, MASK).last_hidden_state[MASK == 1]
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    peers = {
        name.removeprefix("base_model.model.").replace(".default", ""): weight.grad
        for name, weight in peer.named_parameters()
        if weight.requires_grad
    }
    assert gradients.keys() == peers.keys()
    assert len(gradients) == 6 * 2 * 2
    for name, gradient in gradients.items():
        scale = peers[name].abs().max().item()
        assert scale > 0
        torch.testing.assert_close(gradient, peers[name], atol=1e-4 * scale, rtol=0)


def test_merged_weights_are_those_of_peft_and_the_drift_is_their_distance(base_model, tmp_path):
    (model, attached), plain = adapted(base_model), load_bert(base_model).state_dict()
    peer = by_peft(attached, tmp_path, base_model).merge_and_unload().state_dict()
    drift = sum(attached.delta_norms_squared().values())
    attached.merge(model)
    merged = model.state_dict()
    assert merged.keys() == plain.keys()
    for name, weight in merged.items():
        torch.testing.assert_close(weight, peer[name], atol=1e-7, rtol=1e-6)
    distance = sum((merged[name] - plain[name]).double().square().sum().item() for name in plain)
    assert distance > 0
    assert drift == pytest.approx(distance, rel=1e-4)


def test_an_adapter_applied_beside_the_weights_is_the_merged_model(base_model, tmp_path):
    model, attached = adapted(base_model)
    attached.save("all-MiniLM-L6-v2", tmp_path)
    beside = load_bert(base_model)
    adapters.apply_adapter(beside, tmp_path)
    attached.merge(model)
    with torch.no_grad():
        torch.testing.assert_close(beside(IDS, MASK), model(IDS, MASK), atol=1e-5, rtol=1e-4)


def test_adapters_start_without_effect_and_depend_on_the_seed_and_the_layer_alone(base_model):
    few, many, other = load_bert(base_model), load_bert(base_model), load_bert(base_model)
    adapters.attach(few, SETTINGS | {"target_modules": ["value"]}, 0)
    adapters.attach(many, SETTINGS | {"target_modules": ["query", "key", "value", "dense"]}, 0)
    adapters.attach(other, SETTINGS, 1)
    with torch.no_grad():
        assert torch.equal(many(IDS, MASK), load_bert(base_model)(IDS, MASK))
    drawn = [model.encoder.layer[3].attention.self.value.lora_A.weight for model in (few, many, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    # Kaiming's bound with a = sqrt(5) is one over the root of the inputs.
    assert 0.95 * 384**-0.5 < drawn[0].abs().max().item() <= 384**-0.5


def test_dropout_is_before_the_adapter_alone(base_model):
    model, _ = adapted(base_model, SETTINGS | {"dropout": 0.5})
    layer = model.encoder.layer[0].attention.self.query.train()
    inputs = torch.randn(200, 384, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    update = layer(inputs) - layer.base_layer(inputs)
    torch.manual_seed(0)
    dropped = torch.nn.functional.dropout(inputs, 0.5)
    expected = dropped @ layer.lora_A.weight.T @ layer.lora_B.weight.T * 2.0
    torch.testing.assert_close(update, expected, atol=1e-5, rtol=1e-4)


def test_a_name_that_fits_no_linear_layer_is_an_error_that_names_them(base_model):
    with pytest.raises(BackfireError, match="fit no layer") as caught:
        adapters.attach(load_bert(base_model), SETTINGS | {"target_modules": ["q_proj", "uery"]}, 0)
    assert "query" in caught.value.hint
