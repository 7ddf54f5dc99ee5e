"""Which arithmetic is fast here, measured: a flag of the processor says what it can do, and not how fast."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backfire.encoders.certificate import certificate_of
from backfire.encoders.device import pick_device
from backfire.encoders.encoder import Encoder, load_encoder
from backfire.encoders.encoding import encode
from backfire.encoders.folders import modules_of, read_settings
from backfire.encoders.probes import SHORT_TEXTS
from backfire.encoders.settled import multiplied
from backfire.encoders.tokens import padded, tokens_of
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.jobs.resources import processor, processor_name
from backfire.provenance.fingerprints import value_digest
from backfire.study.precision import ENCODE, TRAIN
from backfire.training.trainable import load_start

# As many times as fast as fp32 another arithmetic must be: half precision costs digits.
MARGIN = 1.15
# And as close: the least cosine between its vector of a text and that of fp32.
CLOSE = 0.999
# Seconds that a task is timed for, over all candidates in turn, and that one run of a candidate takes.
BUDGET, RUN = 0.5, 0.15
# Tokens that go through a model at once: in fewer no arithmetic shows what it gains, in more none gains more.
LEAST, TOKENS = 512, 2048
# Texts that vectors are compared for: cased, in several scripts, with what looks like special tokens.
TEXTS = [text for text in SHORT_TEXTS[::4] if text.strip()]
# Where answers are kept, in the user's folder for caches: one machine gives one answer, whatever else runs on it.
FOLDER = "backfire/arithmetic"

logger = logging.getLogger(__name__)


def settle_arithmetic(model: str, max_length: int, output: str) -> None:
    """Write what `settle` gives to `output`."""
    found = settle(model, max_length)
    write_json(output, found)
    for task in (ENCODE, TRAIN):
        logger.info("%s in %s on %s: %s", task, found[task]["precision"], found["processor"], _told(found[task]))


def settle(model: str, max_length: int) -> dict[str, Any]:
    """In which arithmetic the model of the folder `model` encodes and trains fastest here, for texts of `max_length`
    tokens, with the times of all candidates (see `measured`) and what they were measured with.

    What was once measured of this kind of processor, version of torch, number of threads and shape of model is taken
    again.
    """
    about = _about(model, max_length)
    path = _cache() / f"{value_digest(about)}.json" if _cache() else None
    found = _remembered(path)
    if found is None:
        found = about | measured(model, max_length)
        _remember(path, found)
    return found


def measured(model: str, max_length: int) -> dict[str, Any]:
    """{`encode`, `train`: {`precision`: the fastest, `tokens`: of a run, `seconds`: {precision: of a run}}}.

    Of encoding also `cosine`, {precision: the least between its vectors of some texts and those of fp32}.

    What is not `CLOSE` to fp32, or not finite, encodes nothing. Static embeddings are looked up in fp32, and never
    trained.
    """
    if certificate_of(model).forward == "static":
        return {task: {"precision": "fp32", "tokens": 0, "seconds": {}} for task in (ENCODE, TRAIN)}
    # What is too long for a model is told where texts are tokenised.
    device, length = pick_device(), min(padded(max_length), certificate_of(model).limit or max_length)
    # Of two halves of one speed the one with more digits encodes; the one with more range trains.
    known = {ENCODE: ["fp32", "fp16", "bf16"], TRAIN: ["fp32", "bf16", "fp16"]}
    native = {task: [each for each in names if each in multiplied()][:2] for task, names in known.items()}
    encoders = {each: load_encoder(model, each, device) for each in native[ENCODE]}
    tokens, seconds = _timed({each: _encoding(encoder, length) for each, encoder in encoders.items()}, length)
    cosines = closeness(encoders, max_length)
    near = [name for name in seconds if name == "fp32" or cosines[name] >= CLOSE]
    fast = fastest({name: seconds[name] for name in near})
    encoding = {"precision": fast, "tokens": tokens, "seconds": seconds, "cosine": cosines}
    del encoders
    tokens, seconds = _timed({each: _training(model, each, length, device) for each in native[TRAIN]}, length)
    return {ENCODE: encoding, TRAIN: {"precision": fastest(seconds), "tokens": tokens, "seconds": seconds}}


def closeness(encoders: Mapping[str, Encoder], max_length: int) -> dict[str, float]:
    """The least cosine between vectors in each arithmetic and in fp32, of some of the certificate's texts; 0 where a
    number is not finite. `encoders` are those of one model, by arithmetic."""
    vectors = {each: encode(encoder, TEXTS, "document", max_length) for each, encoder in encoders.items()}
    norms = {each: np.linalg.norm(rows, axis=1) for each, rows in vectors.items()}
    cosines = {each: (rows * vectors["fp32"]).sum(1) / (norms[each] * norms["fp32"]) for each, rows in vectors.items()}
    return {each: float(rows.min()) if np.isfinite(rows).all() else 0.0 for each, rows in cosines.items()}


def fastest(seconds: dict[str, float]) -> str:
    """fp32, unless another takes less than its time by `MARGIN`; then the fastest of them."""
    best = min(seconds, key=lambda each: (seconds[each], each))
    return best if seconds["fp32"] >= MARGIN * seconds[best] else "fp32"


def _encoding(encoder: Encoder, length: int) -> Callable[[int], None]:
    """A forward pass over so many texts of `length` tokens."""

    def run(count: int) -> None:
        encoder.embed(tokens_of([_ids(length)] * count), "document")

    return run


def _training(model: str, precision: str, length: int, device: torch.device) -> Callable[[int], None]:
    """A forward and a backward pass; what comes after costs the same in every arithmetic."""
    settings = {"precision": precision, "dropout": None, "method": "full"}
    network = load_start(model, settings, model, 0, device)

    def run(count: int) -> None:
        ids = torch.from_numpy(np.tile(_ids(length), (count, 1))).to(device)
        network.embed(ids, torch.ones_like(ids), "document").sum().backward()
        network.network.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _ids(length: int) -> np.ndarray:
    """Token ids of a text; which they are changes no time, and every vocabulary has them."""
    return np.arange(length, dtype=np.int64) % 4 + 1


def _timed(runs: dict[str, Callable[[int], None]], length: int) -> tuple[int, dict[str, float]]:
    """Tokens of a run, and the least time of each candidate, which take turns: what disturbs one disturbs all."""
    first = {}
    for name, run in runs.items():
        # Kernels are chosen, and memory is laid out, in a first run.
        run(1)
        first[name] = _seconds(run, 1)
    count = max(1, LEAST // length, min(TOKENS // length, int(RUN / max(first.values()))))
    times: dict[str, list[float]] = {name: [] for name in runs}
    begun = time.perf_counter()
    while time.perf_counter() - begun < BUDGET or len(times["fp32"]) < 3:
        for name, run in runs.items():
            times[name].append(_seconds(run, count))
    return count * length, {name: min(each) for name, each in times.items()}


def _seconds(run: Callable[[int], None], count: int) -> float:
    begun = time.perf_counter()
    run(count)
    return time.perf_counter() - begun


def _about(model: str, max_length: int) -> dict[str, Any]:
    """What decides the answer: how it is chosen, the processor, what uses it, and the shape of the model."""
    device, place = pick_device(), modules_of(Path(model))[0][1]
    config = read_settings(place / "config.json") if (place / "config.json").is_file() else {}
    keys = ("model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    return {
        # Another way to measure, or to choose, is another number.
        "format": 2,
        "margin": MARGIN,
        "close": CLOSE,
        "device": device.type,
        "processor": processor_name(device),
        "extensions": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "model": {key: config[key] for key in keys if key in config},
        "max_length": max_length,
    }


def _cache() -> Path | None:
    """The folder of answers, None where the user has no folder at all."""
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".cache") / FOLDER
    except RuntimeError:
        return None


def _remembered(path: Path | None) -> dict[str, Any] | None:
    try:
        return read_json(path) if path and path.is_file() else None
    except (OSError, BackfireError) as error:
        logger.warning("%s is not used (%s)", path, error)
        return None


def _remember(path: Path | None, found: dict[str, Any]) -> None:
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, found)
    except (OSError, BackfireError) as error:
        logger.warning("what was measured is not kept for other studies (%s)", error)


def _told(found: dict[str, Any]) -> str:
    rates = {name: found["tokens"] / seconds for name, seconds in found["seconds"].items()}
    return ", ".join(f"{name} {rate:,.0f} tokens/s" for name, rate in rates.items()) or "nothing is multiplied"
