"""What a variant costs: training time, encoding rate, memory, parameters, and the latency of queries."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows, write_rows

UNITS = {
    "training_time": "s",
    "training_peak_memory": "MiB",
    "training_peak_gpu_memory": "MiB",
    "trainable_parameters": "count",
    "encoding_rate": "passages/s",
    "encoding_peak_memory": "MiB",
    "encoding_peak_gpu_memory": "MiB",
    "search_time": "ms",
    "reranking_time": "ms",
}
PERCENTILES = (50, 90, 95, 99)
_LATENCY = re.compile(r"query_latency_p(\d+)(?:_of_(\d+))?(_unmerged)?")


class Latency(NamedTuple):
    """A percentile of the times that it takes to encode a batch of queries, with an adapter merged, or not."""

    percentile: int
    batch: int = 1
    unmerged: bool = False

    @property
    def quantity(self) -> str:
        """Its name in the table `cost`: query_latency_p50, query_latency_p50_of_32, query_latency_p50_unmerged."""
        size = "" if self.batch == 1 else f"_of_{self.batch}"
        return f"query_latency_p{self.percentile}{size}{'_unmerged' if self.unmerged else ''}"

    @classmethod
    def named(cls, quantity: str) -> "Latency | None":
        """The latency that has that name, None for a quantity of another kind."""
        found = _LATENCY.fullmatch(quantity)
        return found and cls(int(found[1]), int(found[2] or 1), found[3] is not None)


def collect_cost(
    runs: list[tuple[str, int]],
    parts: dict[tuple[str, int], Iterable[str]],
    quantities: str,
    times: str,
    output: str,
) -> None:
    """Write the table `cost` from the JSON parts that the jobs of each (variant, seed) left, from rows of that table
    (`quantities`), and from the times of the table `latency`.

    Encoding is summed over shards: passages over seconds of forward passes and tokenising, model loading left out;
    memory is the largest of any job. Searching, of the primary query set, and reranking, of all, are times for a query.
    """
    measured: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in [*read_rows(quantities, "cost").to_pylist(), *_percentiles(times)]:
        measured.setdefault((row["variant"], row["seed"]), []).append(row)
    rows = []
    for variant, seed in runs:
        found = _merged([read_json(path) for path in parts[variant, seed]])
        rows += [
            {"variant": variant, "seed": seed, "quantity": name, "value": float(found[name]), "unit": unit}
            for name, unit in UNITS.items()
            if name in found
        ]
        rows += measured.get((variant, seed), [])
    write_rows(output, "cost", rows)


def cost_means(table: str | Path) -> tuple[dict[tuple[str, str], float], dict[str, str]]:
    """The mean over seeds of each (variant, quantity), and each quantity's unit."""
    values: dict[tuple[str, str], list[float]] = {}
    units: dict[str, str] = {}
    for row in read_rows(table, "cost").to_pylist():
        units[row["quantity"]] = row["unit"]
        if row["value"] is not None:
            values.setdefault((row["variant"], row["quantity"]), []).append(row["value"])
    means = {key: sum(of) / len(of) for key, of in values.items()}
    return means, {quantity: unit for quantity, unit in units.items() if any(key[1] == quantity for key in means)}


def _percentiles(times: str) -> Iterator[dict[str, Any]]:
    """Rows of the table `cost`: percentiles of the table `latency`, those that it has enough times for.

    Of n times the median is always given, and the p-th percentile where one time at least lies beyond it:
    n (1 - p / 100) >= 1.
    """
    grouped: dict[tuple[str, int, str | None, int], list[float]] = {}
    for row in read_rows(times, "latency").to_pylist():
        key = (row["variant"], row["seed"], row["adapter"], row["batch"])
        grouped.setdefault(key, []).append(row["milliseconds"])
    for (variant, seed, adapter, batch), found in grouped.items():
        for percentile in PERCENTILES:
            if percentile == 50 or len(found) * (100 - percentile) >= 100:
                yield {
                    "variant": variant,
                    "seed": seed,
                    "quantity": Latency(percentile, batch, adapter == "unmerged").quantity,
                    "value": float(np.percentile(found, percentile)),
                    "unit": "ms",
                }


def _merged(parts: list[dict]) -> dict[str, float]:
    encodings = [part for part in parts if "passages" in part]
    rerankings = [part for part in parts if "pairs" in part]
    searches = [part for part in parts if "queries_searched" in part]
    quantities: dict[str, float] = {}
    for part in parts:
        if part not in encodings + rerankings + searches:
            quantities |= part
    if queries := sum(part["queries_searched"] for part in searches):
        quantities["search_time"] = 1000 * sum(part["seconds_searching"] for part in searches) / queries
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
