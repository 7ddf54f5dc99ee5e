"""What runs on a GPU, on a real one: the real model, real text. Skipped, by name, where there is none."""

import numpy as np
import pytest
import torch

from backfire.datasets.load import load_corpus
from backfire.datasets.sources import PYDOCS
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode, vectors_and_norms
from backfire.encoders.settled import multiplied
from backfire.jobs.resources import peak_gpu_memory
from backfire.retrieval.index import build_index
from backfire.retrieval.search import Shard, search
from backfire.training.data import Examples
from backfire.training.steps import Stepper
from backfire.training.trainable import load_start

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
SETTINGS = {
    "method": "full",
    "loss": {"name": "triplet", "distance": "cosine", "margin": 0.2, "normalize": True},
    "learning_rate": 2e-5,
    "schedule": "linear",
    "warmup_ratio": 0.0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "dropout": 0.0,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def texts():
    return [doc.default_text() for doc in load_corpus(PYDOCS).docs_iter()][:600]


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99999), ("fp16", 0.999), ("bf16", 0.999)])
def test_vectors_are_those_of_the_cpu(real_model, texts, precision, least):
    if precision not in multiplied():
        pytest.skip(f"this GPU does not multiply {precision}")
    encoders = [load_encoder(real_model, "fp32", CPU), load_encoder(real_model, precision, GPU)]
    tokens = encoders[0].tokenize(texts, "document", 256)
    (here, norms), (there, found) = (vectors_and_norms(encoder, tokens, "document") for encoder in encoders)
    assert (here * there).sum(axis=1).min() >= least
    np.testing.assert_allclose(found, norms, rtol=1e-4 if precision == "fp32" else 0.05)
    assert peak_gpu_memory() > 0


def test_a_vector_hardly_depends_on_its_batch(real_model, texts):
    encoder = load_encoder(real_model, multiplied()[-1], GPU)
    large, small = (encode(encoder, texts, "document", 256, tokens) for tokens in (65536, 512))
    assert (large * small).sum(axis=1).min() >= 0.9999


def test_batches_that_do_not_fit_are_halved(real_model, texts, caplog):
    """A thousandth or so of the card is left to torch; a batch of 65,536 tokens takes gigabytes."""
    encoder = load_encoder(real_model, "fp32", GPU)
    whole = encode(encoder, texts * 8, "document", 256, 4096)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + (512 << 20)) / total))
    try:
        parts = encode(encoder, texts * 8, "document", 256, 1 << 20)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "the GPU's memory does not hold a batch" in caplog.text
    assert (whole * parts).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_rankings_are_those_of_the_cpu_to_the_bit(k):
    rng = np.random.default_rng(0)
    passages, queries = (rng.standard_normal((rows, 64)).astype(np.float32) for rows in (70_000, 50))
    passages /= np.linalg.norm(passages, axis=1, keepdims=True)
    shard = Shard([f"d{row}" for row in range(len(passages))], passages, build_index(passages, "Flat"))
    ids = [f"q{row}" for row in range(len(queries))]
    assert list(search(ids, queries, [shard], k, device=GPU)) == list(search(ids, queries, [shard], k))


@pytest.mark.parametrize("precision", multiplied())
def test_steps_are_those_of_the_cpu(real_model, texts, precision):
    def losses(device, precision):
        settings = SETTINGS | {"precision": precision}
        model = load_start(str(real_model), settings, "base", 0, device)
        tokens = model.tokenizer.tokenize(texts[:96], "document", 128)
        stepper = Stepper(model, settings, 5, 0)
        examples = Examples.of(tokens, np.arange(96, dtype=np.int32).reshape(3, -1).T)
        return [stepper.step(examples, np.arange(32)).loss for _ in range(5)]

    close = 1e-3 if precision == "fp32" else 3e-2
    assert losses(GPU, precision) == pytest.approx(losses(CPU, "fp32"), rel=close)
