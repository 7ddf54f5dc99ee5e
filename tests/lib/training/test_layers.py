"""How each layer moves: against the files that training wrote, and against the step itself."""

import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_models import LAYOUTS
from small_training import LAYERS, LORA
from torch import nn

from backfire.encoders.certificate import certify
from backfire.formats.tables import read_rows
from backfire.training.layers import Layers, layer_names, layer_norms
from backfire.training.trainable import load_start

pytestmark = pytest.mark.usefixtures("one_thread")


def table(path):
    return read_rows(path, "layers").to_pylist()


def moved(model, start):
    """Norm of the change and of the start, by layer, of what the files hold."""
    ours, theirs = load_file(model / "model.safetensors"), load_file(start / "model.safetensors")
    squares = defaultdict(lambda: [0.0, 0.0])
    for name, was in theirs.items():
        if name in ours and was.dtype.kind == "f" and "pooler" not in name:
            layer = f"layer {name.split('layer.')[1].split('.')[0]}" if "layer." in name else "embeddings"
            squares[layer][0] += float(((ours[name].astype(float) - was) ** 2).sum())
            squares[layer][1] += float((was.astype(float) ** 2).sum())
    return {layer: math.sqrt(change / norm) for layer, (change, norm) in squares.items()}


@pytest.mark.parametrize("method", [{}, {"method": "lora", "lora": LORA, "learning_rate": 1e-2}], ids=["full", "lora"])
def test_what_a_layer_drifted_is_what_the_saved_weights_say(train, base_model, tmp_path, method):
    folder, rows, _ = train("model", **method)
    found = table(tmp_path / "model.layers.parquet")
    assert {row["step"] for row in found} == {
        row["step"] for row in rows if row["step"] and row["dev_RR@10"] is not None
    }
    last = {row["layer"]: row for row in found if row["step"] == rows[-1]["step"]}
    names = [f"layer {number}" for number in range(LAYERS)]
    assert list(last) == (names if method else ["embeddings", *names])
    assert [row["place"] for row in last.values()] == list(range(1 if method else 0, LAYERS + 1))
    for layer, drift in moved(folder, base_model).items():
        assert last[layer]["drift"] == pytest.approx(drift, rel=1e-3) if layer in last else drift == 0


def test_layers_add_up_to_the_whole(train, base_model, tmp_path):
    _, rows, _ = train("model")
    norms = layer_norms(
        load_start(
            str(base_model), {"precision": "fp32", "dropout": None, "method": "full"}, "base", 0, torch.device("cpu")
        ).network
    )
    for row in rows[1:]:
        found = [each for each in table(tmp_path / "model.layers.parquet") if each["step"] == row["step"]]
        if found:
            assert math.hypot(*(each["grad_norm"] for each in found)) == pytest.approx(row["grad_norm"], rel=1e-5)
            changed = math.hypot(*(each["drift"] * norms[each["layer"]] for each in found))
            assert changed / math.hypot(*norms.values()) == pytest.approx(row["weight_drift"], rel=1e-6)
    assert len(found) == LAYERS + 1


def test_an_update_is_held_against_the_weights_that_it_changes():
    network = nn.ModuleDict({"embeddings": nn.Embedding(3, 2), "stack": nn.ModuleList([nn.Linear(2, 2, bias=False)])})
    layers = Layers(network, layer_norms(network))
    for weight in network.parameters():
        weight.grad = torch.full_like(weight, 2.0)
    before = {name: weight.detach().numpy().copy() for name, weight in network.named_parameters()}
    layers.before()
    with torch.no_grad():
        for weight in network.parameters():
            weight -= 0.5 * weight.grad
    layers.after()
    embeddings, stack = layers.rows({"embeddings": 3.0})
    assert (embeddings["layer"], stack["layer"]) == ("embeddings", "layer 0")
    was = np.linalg.norm(before["embeddings.weight"])
    assert embeddings["drift"] == pytest.approx(3 / was)
    assert embeddings["grad_norm"] == pytest.approx(2 * math.sqrt(6))
    assert embeddings["update_ratio"] == pytest.approx(math.sqrt(6) / was, rel=1e-6)
    assert stack["update_ratio"] == pytest.approx(2 / np.linalg.norm(before["stack.0.weight"]), rel=1e-6)


def test_weights_of_zero_have_no_ratio():
    network = nn.ModuleDict({"embeddings": nn.Embedding(3, 2)})
    nn.init.zeros_(network["embeddings"].weight)
    layers = Layers(network, layer_norms(network))
    network["embeddings"].weight.grad = torch.ones(3, 2)
    layers.before()
    layers.after()
    assert layers.rows({}) == [
        {"layer": "embeddings", "place": 0, "drift": None, "grad_norm": math.sqrt(6), "update_ratio": None}
    ]


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"static"}))
def test_every_layout_has_its_layers_told_apart(layout, tmp_path):
    if not hasattr(LAYOUTS[layout], "build"):
        pytest.skip("no model of its own")
    folder = LAYOUTS[layout].build(tmp_path / "model")
    certify(folder, layout)
    try:
        model = load_start(
            str(folder), {"precision": "fp32", "dropout": None, "method": "full"}, "base", 0, torch.device("cpu")
        )
    except Exception as error:
        assert "static" in str(error)
        return
    layer = layer_names(model.network)
    names = [layer(name) for name, _ in model.network.named_parameters()]
    print(layout, list(dict.fromkeys(names)))
    assert "embeddings" in names and any("layer" in name or name[-1].isdigit() for name in names)
    assert set(model.norms) == set(names)
