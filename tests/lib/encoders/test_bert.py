"""Our BERT is that of transformers: the same numbers from the same weights, packed or not, and the same gradients."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from backfire.encoders.bert import load_bert, narrow, pack, plain_pooling, pool
from backfire.encoders.certificate import certify

IDS = torch.tensor([[101, 2709, 1996, 16417, 102, 0, 0, 0], [101, 4066, 2019, 9140, 2011, 1037, 3145, 102]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [1] * 8])


@pytest.fixture(scope="module")
def library(base_model):
    from transformers import BertModel

    return BertModel.from_pretrained(base_model, add_pooling_layer=False, attn_implementation="eager").eval()


def test_hidden_states_are_those_of_transformers(base_model, library):
    with torch.inference_mode():
        ours = load_bert(base_model)(IDS, MASK)
        theirs = library(input_ids=IDS, attention_mask=MASK).last_hidden_state
    real = MASK.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=2e-6, rtol=0)


def test_the_other_kernel_of_attention_gives_the_same(base_model, library, monkeypatch):
    model = load_bert(base_model)
    attention = type(model.encoder.layer[0].attention.self)

    def fused(self, query, key, value, mask):
        bias = None if mask is None else mask[:, None, None]
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)

    with torch.inference_mode():
        ours = model(IDS, MASK)
        monkeypatch.setattr(attention, "_by_products", fused)
        other = model(IDS, MASK)
    torch.testing.assert_close(ours[MASK.bool()], other[MASK.bool()], atol=2e-6, rtol=0)


def test_gradients_are_those_of_transformers(base_model, library):
    ours = load_bert(base_model)
    pool(ours(IDS, MASK), MASK, "mean").square().sum().backward()
    hidden = library(input_ids=IDS, attention_mask=MASK).last_hidden_state
    pool(hidden, MASK, "mean").square().sum().backward()
    theirs = {name: weight.grad for name, weight in library.named_parameters()}
    # That of a key's bias is zero, and what is left of it is rounding.
    whole = sum(gradient.norm() ** 2 for gradient in theirs.values()) ** 0.5
    for name, weight in ours.named_parameters():
        off = (weight.grad - theirs[name]).norm()
        assert off <= 2e-5 * theirs[name].norm() + 1e-6 * whole, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_weights_give_the_same(base_model, dtype):
    plain, packed = load_bert(base_model), load_bert(base_model)
    for model in (plain, packed):
        narrow(model, dtype)
    pack(packed)
    with torch.inference_mode():
        vectors = [torch.nn.functional.normalize(pool(model(IDS, MASK), MASK, "mean")) for model in (plain, packed)]
    assert (vectors[0] * vectors[1]).sum(dim=1).min() > (0.999999 if dtype == torch.float32 else 0.9995)


def test_pooling_ignores_padding(base_model):
    hidden = torch.arange(12.0).view(1, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[1.5, 2.5, 3.5]]
    assert pool(hidden, mask, "cls").tolist() == [[0.0, 1.0, 2.0]]


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"hidden_act": "gelu_new"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"include_prompt": False}),
    ],
)
def test_any_other_model_is_left_to_the_library(base_model, tmp_path, file, change):
    folder = tmp_path / "model"
    shutil.copytree(base_model, folder)
    assert plain_pooling(folder) == "mean"
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert plain_pooling(folder) is None


def test_encoding_loads_no_library_of_models(base_model, tmp_path):
    folder = shutil.copytree(base_model, tmp_path / "model")
    certify(folder, "model")
    code = (
        "import sys\n"
        "from backfire.encoders.encoder import load_encoder\n"
        "from backfire.encoders.encoding import encode\n"
        "encode(load_encoder(sys.argv[1], 'fp32'), ['some text'], 'query', 64)\n"
        "print(*sorted({'torch', 'transformers', 'sentence_transformers', 'peft'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "torch\n"
