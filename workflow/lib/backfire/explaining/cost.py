"""What a variant costs: training time, encoding rate, memory, parameters, and the latency of a single query."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from backfire.encoders.encoder import Encoder, load_encoder
from backfire.encoders.folders import weight_files
from backfire.formats.atomic import read_json, write_json
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_sample

UNITS = {
    "training_time": "s",
    "training_peak_memory": "MiB",
    "training_peak_gpu_memory": "MiB",
    "trainable_parameters": "count",
    "total_parameters": "count",
    "encoding_rate": "passages/s",
    "encoding_peak_memory": "MiB",
    "encoding_peak_gpu_memory": "MiB",
    "query_latency_p50": "ms",
    "query_latency_p95": "ms",
    "query_latency_p50_unmerged": "ms",
    "query_latency_p95_unmerged": "ms",
    "reranking_time": "ms",
}
WARM_UP = 5


def measure_latency(
    model: str, base: str, queries: str, count: int, max_length: int, precision: str, output: str
) -> None:
    """Time single-query encodings, tokenising included; medians and 95th percentiles in ms go to `output`.

    A folder with an `adapter/` is timed twice: merged, and with the adapter applied beside the weights of `base`, as
    one would serve several adapters over one model. Counts the parameters too.
    """
    table = read_rows(queries, "queries")
    texts = dict(zip(table["query_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    sample = [texts[query_id] for query_id in keyed_sample(texts, count, "latency")]
    encoder = load_encoder(model, precision)
    p50, p95 = _latency(encoder, sample, max_length)
    quantities = {
        "query_latency_p50": p50,
        "query_latency_p95": p95,
        "total_parameters": _parameters(model),
    }
    if (Path(model) / "adapter").is_dir():
        unmerged = load_encoder(base, precision, adapter=Path(model) / "adapter")
        p50, p95 = _latency(unmerged, sample, max_length)
        quantities |= {"query_latency_p50_unmerged": p50, "query_latency_p95_unmerged": p95}
    write_json(output, quantities)


def _latency(encoder: Encoder, texts: list[str], max_length: int) -> tuple[float, float]:
    """Median and 95th percentile of the time to encode one query, in ms."""
    times = []
    for text in texts[:WARM_UP] + texts:
        start = time.perf_counter()
        encoder.embed(encoder.tokenize([text], "query", max_length), "query")
        times.append(1000 * (time.perf_counter() - start))
    times = times[min(WARM_UP, len(texts)) :]
    return float(np.percentile(times, 50)), float(np.percentile(times, 95))


def _parameters(model: str) -> int:
    """Number of parameters in a model folder's weights; integer buffers do not count."""
    from safetensors import safe_open

    count = 0
    for file in weight_files(Path(model)):
        with safe_open(file, framework="numpy") as weights:
            slices = [weights.get_slice(name) for name in weights.keys()]  # noqa: SIM118
            count += sum(int(np.prod(part.get_shape())) for part in slices if "F" in part.get_dtype())
    return count


def collect_cost(runs: list[tuple[str, int]], parts: dict[tuple[str, int], Iterable[str]], output: str) -> None:
    """Write the table `cost` from the JSON parts that the jobs of each (variant, seed) left.

    Encoding is summed over shards: passages over seconds of forward passes and tokenising, model loading left out;
    memory is the largest of any job. Reranking is the time for a query, over all query sets.
    """
    rows = []
    for variant, seed in runs:
        quantities = _merged([read_json(path) for path in parts[variant, seed]])
        rows += [
            {"variant": variant, "seed": seed, "quantity": name, "value": float(quantities[name]), "unit": unit}
            for name, unit in UNITS.items()
            if name in quantities
        ]
    write_rows(output, "cost", rows)


def _merged(parts: list[dict]) -> dict[str, float]:
    encodings = [part for part in parts if "passages" in part]
    rerankings = [part for part in parts if "pairs" in part]
    quantities: dict[str, float] = {}
    for part in parts:
        if "passages" not in part and "pairs" not in part:
            quantities |= part
    if queries := sum(part["queries_reranked"] for part in rerankings):
        quantities["reranking_time"] = 1000 * sum(part["seconds_reranking"] for part in rerankings) / queries
    if encodings:
        quantities["encoding_rate"] = sum(part["passages"] for part in encodings) / sum(
            part["seconds"] for part in encodings
        )
        quantities["encoding_peak_memory"] = max(part["peak_memory_mib"] for part in encodings)
        if on_gpu := [part["peak_gpu_memory_mib"] for part in encodings if "peak_gpu_memory_mib" in part]:
            quantities["encoding_peak_gpu_memory"] = max(on_gpu)
    return quantities
