"""Every layout of model is trained, whole and by adapters, and what is saved is the model that was trained."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_models import LAYOUTS, change, restored, router
from small_tokenizers import TRAINING_TEXTS
from small_training import SETTINGS as SMALL

from backfire.encoders.certificate import certificate_of, certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.errors import BackfireError
from backfire.formats.tables import read_rows
from backfire.training.run import train_variant

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = SMALL | {
    "loss": {"name": "triplet", "distance": "cosine", "margin": 1.0, "normalize": True},
    "learning_rate": 1.0e-2,
    "warmup_ratio": 0.0,
    "max_length": 40,
    "dropout": None,
    "precision": "fp32",
}
DYNAMICS = {
    "split": "dev",
    "measures": ["RR@10"],
    "interval": 2,
    "queries": 2,
    "pool": 4,
    "on_harm": "warn",
    "false_alarms": 0.05,
}
TEXTS = ["which passages answer a query about France?", "sort the ROWS of a table", "one more text, " * 30]
# One of a kind: what else LAYOUTS has differs in what is read, not in what is trained.
TRAINED = [
    "bert-mean",
    "bert-cls",
    "bert-concatenated",
    "bert-weightedmean",
    "bert-dense-tanh-fp16",
    "bert-layer-norm",
    "bert-bf16",
    "bert-old-layout",
    "bert-thin-config",
    "bert-old-names",
    "bert-sharded",
    "bert-masked-lm",
    "bert-bare",
    "bert-prompts-left-out",
    "bert-truncated",
    "bert-dot",
    "bert-slow-tokenizer",
    "roberta",
    "xlm-roberta",
    "mpnet",
    "distilbert",
    "albert",
    "electra",
    "modernbert",
    "deberta-v2",
    "nomic-bert",
    "t5-encoder",
    "t5-whole",
    "qwen3",
    "llama",
    "gemma3",
]


@pytest.fixture
def train(table, tmp_path):
    """A function that takes two steps from a model; gives the folder of the trained one, and the losses."""
    texts = list(dict.fromkeys(TRAINING_TEXTS))
    queries = [{"query_id": f"q{row}", "text": " ".join(text.split()[:4])} for row, text in enumerate(texts)]
    triples = [
        {
            "example": row,
            "query_id": f"q{row}",
            "positive_id": f"d{row}",
            "negative_id": f"d{(row + 3) % 8}",
            "source": "random",
        }
        for row in range(8)
    ]
    judged = [{"query_id": f"q{row}", "doc_id": f"d{row}", "relevance": 1} for row in range(2)]
    files = {
        "triples": table("triples", "triples", triples),
        "queries": table("train", "queries", queries),
        "corpus": [table("corpus", "corpus", [{"doc_id": f"d{row}", "text": text} for row, text in enumerate(texts)])],
        "development_queries": table("dev", "queries", queries[:2]),
        "development_qrels": table("qrels", "qrels", judged),
    }

    def run(start, name, **settings):
        if not (start / "certificate.json").is_file():
            certify(start, "start")
        train_variant(
            start=str(start),
            **files,
            settings=SETTINGS | settings,
            dynamics=DYNAMICS,
            seed=0,
            base_name="start",
            output=str(tmp_path / name),
            dynamics_table=str(tmp_path / f"{name}.parquet"),
            development_table=str(tmp_path / f"{name}.queries.parquet"),
            layers_table=str(tmp_path / f"{name}.layers.parquet"),
            cost=str(tmp_path / f"{name}.json"),
            label="test",
            checkpoints=str(tmp_path / "checkpoints" / name),
            code="code",
        )
        losses = [row["loss"] for row in read_rows(tmp_path / f"{name}.parquet", "dynamics").to_pylist()]
        return tmp_path / name, losses[1:]

    return run


def lora(name):
    return {
        "method": "lora",
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": list(LAYOUTS[name].targets)},
    }


def vectors(folder, kind="document", **options):
    return encode(load_encoder(folder, "fp32", **options), TEXTS, kind, 40)


def is_the_library(folder):
    """A folder loads with sentence-transformers, asked for nothing, and gives our vectors; all of it is fp32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    model.max_seq_length = 40
    for kind, encode_kind in (("query", model.encode_query), ("document", model.encode_document)):
        expected, ours = encode_kind(TEXTS, batch_size=1), vectors(folder, kind)
        lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(ours, axis=1)
        assert ((expected * ours).sum(axis=1) / lengths >= 0.99999).all()
    files = [file for file in folder.rglob("*.safetensors") if "adapter" not in file.parts]
    assert {tensor.dtype for file in files for tensor in load_file(file).values()} == {torch.float32}
    transformers = [json.loads(file.read_text()) for file in folder.rglob("config.json")]
    assert {config["dtype"] for config in transformers if "model_type" in config} == {"float32"}


@pytest.mark.parametrize("name", TRAINED)
def test_a_layout_is_trained_whole_and_by_adapters(name, train, tmp_path):
    start = LAYOUTS[name].build(tmp_path / "start")
    for method, settings in (("full", {}), ("lora", lora(name))):
        folder, losses = train(start, method, **settings)
        assert len(losses) == 2 and min(losses) > 0
        is_the_library(folder)
        found = certificate_of(folder)
        # These two are written anew, as the plain BERT that they are.
        forward = "bert" if name in {"bert-sharded", "bert-bare"} else LAYOUTS[name].forward
        assert (found.tokens, found.forward) == (LAYOUTS[name].tokens, forward)
        assert np.abs(vectors(folder) - vectors(start)).max() > 1e-3
    beside = vectors(start, adapter=folder / "adapter")
    np.testing.assert_allclose(beside, vectors(folder), atol=1e-5)


@pytest.mark.parametrize("more", [{"use_dora": True}, {"init_lora_weights": "pissa"}])
@pytest.mark.parametrize("name", ["bert-mean", "bert-dense-tanh-fp16", "mpnet", "distilbert", "modernbert"])
def test_a_layout_is_trained_by_adapters_of_peft(name, more, train, tmp_path):
    start, settings = LAYOUTS[name].build(tmp_path / "start"), lora(name)
    settings["lora"] |= more
    folder, losses = train(start, "trained", **settings)
    assert len(losses) == 2 and min(losses) > 0
    is_the_library(folder)
    assert np.abs(vectors(folder) - vectors(start)).max() > 1e-3
    np.testing.assert_allclose(vectors(start, adapter=folder / "adapter"), vectors(folder), atol=2e-6)
    assert json.loads((folder / "training.json").read_text())["settings"]["lora"] == settings["lora"]
    # Twice as wide where what the start took out of the weights is put back.
    tensors = load_file(folder / "adapter" / "adapter_model.safetensors").items()
    assert {len(tensor) for key, tensor in tensors if "lora_A" in key} == {4 if "use_dora" in more else 8}


def test_a_decoder_without_linear_layers_is_trained_whole(train, tmp_path):
    """GPT-2 has layers of its own kind, to which no adapter goes."""
    start = LAYOUTS["gpt2"].build(tmp_path / "start")
    is_the_library(train(start, "full")[0])
    with pytest.raises(BackfireError, match="fit no layer") as caught:
        train(start, "lora", method="lora", lora={"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["c_attn"]})
    assert "no linear layers" in caught.value.hint
    # peft knows them.
    adapter = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["c_attn"], "use_rslora": True}
    folder, _ = train(start, "adapted", method="lora", lora=adapter)
    np.testing.assert_allclose(vectors(start, adapter=folder / "adapter"), vectors(folder), atol=1e-5)


def test_a_transformer_for_each_side_is_trained_whole(train, tmp_path):
    start = router(tmp_path / "start", document="mpnet")
    folder, losses = train(start, "full")
    assert min(losses) > 0
    is_the_library(folder)
    for kind in ("query", "document"):
        assert np.abs(vectors(folder, kind) - vectors(start, kind)).max() > 1e-3, kind
    with pytest.raises(BackfireError, match="has 2 transformers; an adapter goes to one") as caught:
        train(start, "lora", **lora("bert-mean"))
    assert "method: full" in caught.value.hint


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["bert-mean", "bert-dense", "mpnet"])
def test_weights_stored_in_half_precision_are_trained_as_the_same_ones_in_fp32(name, dtype, method, train, tmp_path):
    half = LAYOUTS[name].build(tmp_path / "half")
    restored(half, dtype)
    change(half, "config.json", dtype=str(dtype).removeprefix("torch."))
    single = shutil.copytree(half, tmp_path / "single")
    restored(single, torch.float32)
    change(single, "config.json", dtype="float32")
    settings = lora(name) if method == "lora" else {}
    # Steps as small as fine-tuning takes: rounded to half precision, most would change nothing.
    (one, losses), (two, others) = (
        train(start, start.name + "-trained", **settings, learning_rate=2e-5) for start in (half, single)
    )
    assert losses == others
    for file in one.rglob("*.safetensors"):
        trained, other = load_file(file), load_file(two / file.relative_to(one))
        before = load_file(half / file.relative_to(one)) if "adapter" not in file.parts else {}
        assert trained.keys() == other.keys()
        for key, tensor in trained.items():
            assert torch.equal(tensor, other[key]), key
            assert key not in before or tensor.shape == before[key].shape
    moved = [
        (tensor != before[key].float()).float().mean().item()
        for before, after in [(load_file(half / "model.safetensors"), load_file(one / "model.safetensors"))]
        for key, tensor in after.items()
        if key in before and key.endswith(("query.weight", "attn.q.weight"))
    ]
    assert len(moved) == 2 and min(moved) > 0.9


@pytest.mark.parametrize(
    ("name", "present"),
    [("mpnet", "dense, k, o, q, v"), ("bert-max", "dense, key, query, value"), ("llama", "down_proj")],
)
def test_targets_that_fit_no_layer_name_those_there_are(name, present, train, tmp_path):
    start = LAYOUTS[name].build(tmp_path / "start")
    adapter = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["query_key_value"]}
    with pytest.raises(BackfireError, match=r"\['query_key_value'\] fit no layer") as caught:
        train(start, "lora", method="lora", lora=adapter)
    assert f"linear layers are named {present}" in caught.value.hint
    assert not (tmp_path / "lora").exists()
