"""What this machine does in a second, measured in some seconds: encoding, a training step, exact search, writing."""

import logging
import math
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backfire.encoders.device import pick_device
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.encoders.tokens import padded
from backfire.formats.atomic import replacing
from backfire.planning.facts import QUERY_TOKENS
from backfire.retrieval.index import build_index
from backfire.retrieval.search import Shard, search
from backfire.study.precision import ENCODE, TRAIN, meant
from backfire.training.settling import settle

# Seconds that a measurement may repeat for; one that takes longer is made once.
BUDGET = 3.0
SEARCHED_QUERIES, SMALL, LARGE = 256, 8192, 65536
WRITTEN = 64 * 2**20
WORDS = (
    *("the", "water", "of", "this", "river", "runs", "down", "from", "high", "hills", "to", "the", "open", "sea"),
    *("and", "people", "who", "live", "near", "it", "often", "use", "small", "boats", "when", "they", "go", "to"),
    *("market", "in", "the", "town", "on", "the", "other", "side", "because", "there", "is", "no", "good", "road"),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rates:
    """What was measured. Seconds, and tokens with padding; `step` maps a variant to the seconds of one of its steps.

    An exact search takes `seconds_per_pair` for each query and passage, and `seconds_per_merge` for each query and
    shard. `load` is how many other processes wanted each processor before the probe began.
    """

    device: str
    threads: int
    dimensions: int
    tokens_per_second: float
    query_tokens_per_second: float
    step: dict[str, float]
    seconds_per_pair: float
    seconds_per_merge: float
    written_per_second: float
    load: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def measure(
    model: str,
    passages: list[str],
    tokens: int,
    encoding: dict[str, Any],
    variants: dict[str, dict[str, Any]],
    depth: int,
    folder: Path,
) -> Rates:
    """Measure with the model in the folder `model`; files are written to `folder` and removed.

    `passages` are real ones, or none: then texts of `tokens` tokens are made from words of the model. `encoding` is
    the configuration's block, `variants` maps trained variants to their blocks, each with the number of `texts` of an
    example of its triples, `depth` is that of the rankings.
    Variants whose steps cost the same are measured once.
    """
    import torch

    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    fast = settle(model, encoding["max_length"])
    encoder = load_encoder(model, meant(encoding["precision"], fast, ENCODE))
    trained = {name: each | {"precision": meant(each["precision"], fast, TRAIN)} for name, each in variants.items()}
    length, size = encoding["max_length"], encoding["batch_tokens"]
    passages = passages or [words(tokens, row) for row in range(256)]
    rate = _encoding_rate(encoder, passages, "document", length, size)
    short = [words(QUERY_TOKENS, row) for row in range(256)]
    queries = _encoding_rate(encoder, short, "query", length, size)
    dimensions = int(np.asarray(encode(encoder, short[:1], "query", length, size)).shape[1])
    pair, merge = _search_costs(dimensions, depth, torch.get_num_threads())
    rates = Rates(
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        threads=torch.get_num_threads(),
        dimensions=dimensions,
        tokens_per_second=rate,
        query_tokens_per_second=queries,
        step=_steps(model, trained, tokens),
        seconds_per_pair=pair,
        seconds_per_merge=merge,
        written_per_second=_write_rate(folder),
        load=load,
    )
    logger.info("measured: %s", rates)
    return rates


def words(tokens: int, row: int) -> str:
    """A text of `tokens` tokens with the two that frame it: common words, a token each, in another order each row."""
    return " ".join(WORDS[(row * 13 + place * 7) % len(WORDS)] for place in range(max(1, tokens - 2)))


def _encoding_rate(encoder: Any, texts: list[str], kind: str, max_length: int, batch_tokens: int) -> float:
    """Padded tokens per second over `texts`, tokenising included, of growing parts until the budget is spent."""
    encode(encoder, texts[:8], kind, max_length, batch_tokens)
    count, start = 16, 0
    while True:
        part = [texts[(start + row) % len(texts)] for row in range(count)]
        begun = time.perf_counter()
        encode(encoder, part, kind, max_length, batch_tokens)
        seconds = time.perf_counter() - begun
        if seconds > BUDGET / 4:
            tokens = padded(encoder.tokenize(part, kind, max_length).lengths).sum()
            return float(tokens) / seconds
        start, count = start + count, count * 2


def _search_costs(dimensions: int, depth: int, threads: int) -> tuple[float, float]:
    """Seconds for each (query, passage) and each (query, shard), from exact searches of a small and a large shard."""
    generator = np.random.default_rng(0)

    def unit(rows: int) -> np.ndarray:
        vectors = generator.standard_normal((rows, dimensions), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    queries, query_ids = unit(SEARCHED_QUERIES), [str(row) for row in range(SEARCHED_QUERIES)]
    seconds = []
    for rows in (SMALL, LARGE):
        passages = unit(rows)
        shard = Shard([str(row) for row in range(rows)], passages, build_index(passages, "Flat"))
        begun = time.perf_counter()
        for _ in search(query_ids, queries, [shard], min(depth, SMALL), threads):
            pass
        seconds.append(time.perf_counter() - begun)
    pair = max(0.0, seconds[1] - seconds[0]) / (SEARCHED_QUERIES * (LARGE - SMALL))
    return pair, max(0.0, seconds[0] / SEARCHED_QUERIES - SMALL * pair)


def _steps(model: str, variants: dict[str, dict[str, Any]], tokens: int) -> dict[str, float]:
    """Seconds of one optimiser step of each variant, on passages of `tokens` tokens before they are cut."""
    keys = ("method", "batch_size", "max_length", "dropout", "precision", "lora", "texts")
    seconds: dict[str, float] = {}
    known: dict[str, float] = {}
    for name, settings in variants.items():
        key = repr([settings.get(part) for part in keys])
        if key not in known:
            known[key] = _step(model, settings, tokens)
        seconds[name] = known[key]
    return seconds


def probed_rows(batch_size: int, tokens: int, held: int) -> int:
    """Triples of `tokens` tokens that stand for a batch: all, or as many as are twice what a step keeps of a batch.

    A batch above `held` tokens is embedded twice, part by part, so that its time goes with its size from there on.
    """
    return min(batch_size, math.ceil(2 * held / tokens))


def _step(model: str, settings: dict[str, Any], tokens: int) -> float:
    """Median seconds of a step on a batch of passages of `tokens` tokens, cut at `max_length`; the first step is left
    out if others fit, and a large batch is worked out from a part."""
    from backfire.training.data import Examples
    from backfire.training.steps import HELD_TOKENS, Stepper
    from backfire.training.trainable import load_start

    device = pick_device()
    network = load_start(model, settings, model, 0, device)
    length, columns = min(tokens, settings["max_length"]), settings["texts"]
    rows = probed_rows(settings["batch_size"], QUERY_TOKENS + (columns - 1) * length, HELD_TOKENS[device.type])
    # A margin that nothing satisfies, so that every triplet has a gradient; the other values cost nothing.
    loss = {"name": "triplet", "distance": "cosine", "margin": 2.0, "normalize": True}
    free = {"loss": loss, "learning_rate": 1e-5, "schedule": "constant", "warmup_ratio": 0.0, "weight_decay": 0.0}
    stepper = Stepper(network, settings | free | {"max_grad_norm": 1.0}, 1000, 0)
    texts = [
        words(count, column * rows + row)
        for column, count in enumerate((QUERY_TOKENS, *[length] * (columns - 1)))
        for row in range(rows)
    ]
    made = np.arange(columns * rows).reshape(columns, rows).T
    examples = Examples.of(network.tokenizer.tokenize(texts, "document", settings["max_length"]), made)
    times: list[float] = []
    while sum(times) < BUDGET:
        begun = time.perf_counter()
        stepper.step(examples, np.arange(rows))
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:] or times) * settings["batch_size"] / rows


def _write_rate(folder: Path) -> float:
    """Bytes per second that reach the disk under `folder`."""
    block = os.urandom(2**20)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".probe-") as scratch:
        begun = time.perf_counter()
        with replacing(Path(scratch) / "block") as path, path.open("wb") as stream:
            for _ in range(WRITTEN // len(block)):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
        return WRITTEN / (time.perf_counter() - begun)
