"""What a machine has, and what a job has used: measured from within, since the engine sees no GPU."""

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_GROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_VECTORS = ("amx", "asimd", "avx", "bf16", "fma", "sse", "sve")


def processor() -> list[str]:
    """The kind of processor, by what the last bit of a sum may depend on: its architecture and vector extensions."""
    flags = _cpuinfo("flags", "Features").split()
    return [platform.machine(), *sorted(flag for flag in flags if flag.startswith(_VECTORS))]


def processor_name(device: Any = None) -> str:
    """What the maker calls the processor, or the GPU where `device` is one of torch's; else its architecture."""
    if device is not None and device.type == "cuda":
        return sys.modules["torch"].cuda.get_device_name(device)
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*names: str) -> str:
    """What the kernel says of the first processor under one of these names; empty where it says nothing."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), "")
    return ""


def available_memory() -> int | None:
    """MiB that new processes here can have now, a limit on this process's cgroup included; None where it is unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = next(int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    for group, version in _groups("memory"):
        with suppress(OSError, ValueError):
            limit = group / ("memory.max" if version == 2 else "memory.limit_in_bytes")
            found = min(found, int(limit.read_text(encoding="ascii")) >> 20)
    return found


def available_processors() -> int:
    """Processors that this process may use: those it may run on, and as many as its cgroup's quota of time keeps busy.

    A quota is a time in each period for all threads together, and a container's limit is usually one. What it leaves
    over of a processor counts as one, as in the runtimes of Java and Go.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group, version in _groups("cpu"):
        with suppress(OSError, ValueError):
            if version == 2:
                quota, period = map(int, (group / "cpu.max").read_text(encoding="ascii").split())
            else:
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                quota, period = (int((group / name).read_text(encoding="ascii")) for name in names)
            if quota > 0 and period > 0:
                found = min(found, -(-quota // period))
    return found


def _groups(kind: str) -> Iterator[tuple[Path, int]]:
    """(folder, version of cgroups) of the groups of this process that may limit it, the innermost first."""
    try:
        groups = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in groups:
        _, kinds, place = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        root = _GROUPS / kinds
        if kinds and not root.is_dir():
            root = _GROUPS / kind
        inner = root / place.lstrip("/")
        # A container sees its own group as the root, whatever the path says.
        for group in (inner, *inner.parents) if inner.is_dir() else (root,):
            yield group, 1 if kinds else 2
            if group == root:
                break


def peak_gpu_memory() -> float | None:
    """Peak memory of a GPU that torch has allocated in this process, in MiB; None where it has used none."""
    # Not imported: a job that has not loaded it has used no GPU, and does not depend on its version.
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    return None


def peak_resident() -> float:
    """Peak resident set of this process in MiB, libraries and mapped files included.

    Where the kernel tells it for the program that runs now (Linux), that is taken: `getrusage` starts at what the
    parent held when it started this process, which for a job is the engine.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 2**10
    except (OSError, StopIteration):
        # Linux counts in KiB, macOS in bytes.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
