"""Ours and a peer in turn on the same inputs: A B A B, ratios round by round, and what both agree on."""

import contextlib
import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np

from backfire.jobs.resources import peak_gpu_memory, processor, processor_name

T = TypeVar("T")
# Rows, inputs and outputs of the product that FLOP/s are compared with: a batch through the wide layer of MiniLM.
PRODUCT = (2048, 384, 1536)


@dataclass
class Pair:
    """Seconds of every round of ours and of the peer, by the clock and of the processor, for `work` units of work.

    `peak_mib`: by how much each let the resident set grow at most, MiB; `gpu_mib`: what each held of a GPU at most.
    """

    name: str
    peer_name: str
    ours: list[float]
    peer: list[float]
    ours_processor: list[float]
    peer_processor: list[float]
    work: float
    unit: str
    agreement: str
    peak_mib: tuple[float, float]
    gpu_mib: tuple[float, float]
    flop: float | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """How many times as long the peer took, round by round."""
        return [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]

    def rate(self, seconds: list[float]) -> float:
        """Units of work in a second, by the median round."""
        return self.work / statistics.median(seconds)


def pair(
    name: str,
    ours: Callable[[], T],
    peer: Callable[[], T],
    work: float,
    unit: str,
    agreement: Callable[[T, T], str],
    peer_name: str,
    rounds: int = 3,
) -> Pair:
    """Run `peer` and `ours` in turn, each once before anything is measured.

    Peak memory is what the resident set grew by at most while a side ran, sampled; libraries and models that are
    loaded before do not count.
    """
    import torch

    sides = {"peer": peer, "ours": ours}
    results = {side: work_of() for side, work_of in sides.items()}
    said = agreement(results["ours"], results["peer"])
    del results
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    grown, on_gpu = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0)
    for _ in range(rounds):
        for side, work_of in sides.items():
            gc.collect()
            before = _reset_peak()
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            begun, busy = time.perf_counter(), time.process_time()
            result = work_of()
            seconds[side].append(time.perf_counter() - begun)
            processor[side].append(time.process_time() - busy)
            grown[side] = max(grown[side], _peak() - before)
            on_gpu[side] = max(on_gpu[side], peak_gpu_memory() or 0.0)
            del result
    return Pair(
        name,
        peer_name,
        seconds["ours"],
        seconds["peer"],
        processor["ours"],
        processor["peer"],
        work,
        unit,
        said,
        (grown["ours"], grown["peer"]),
        (on_gpu["ours"], on_gpu["peer"]),
    )


def matrix_peak(precision: str) -> float:
    """GFLOP/s of torch's matrix product in fp32, bf16 or fp16, the best of many; of `PRODUCT`, or larger on a GPU."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    rows, inputs, outputs = PRODUCT if device == "cpu" else (8192, 8192, 8192)
    left, right = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, inputs), (inputs, outputs)))
    best = float("inf")
    for _ in range(30):
        begun = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2 * rows * inputs * outputs / best / 1e9


def machine() -> str:
    """Processor, what of it may be used, memory, GPU, load and the versions that matter, in one line."""
    import torch

    flags = processor()
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16") if name in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    packages = ["torch", "sentence-transformers", "faiss-cpu", "numpy"]
    return (
        f"{processor_name()} ({', '.join(known)}), {len(os.sched_getaffinity(0))} virtual cores, {memory:.0f} GiB, "
        f"{gpu}; load {os.getloadavg()[0]:.1f}; {', '.join(_version(name) for name in packages)}"
    )


def spread(values: list[float]) -> str:
    """Median, and the smallest and largest, with two decimals."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _reset_peak() -> float:
    """Make the kernel count the peak of the resident set from now; gives the resident set in MiB."""
    # Writing 5 to clear_refs resets VmHWM (proc(5)); where that is not allowed, growth is seen at the first rise only.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 2**10
