"""What the machine has, and what a job has used: measured from within, since the engine sees no GPU."""

import resource
import sys
from pathlib import Path


def count_gpus() -> int:
    """Number of NVIDIA devices of this machine, without loading a driver."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def peak_memory() -> float:
    """Peak memory of this process in MiB: of the GPU where one is in use, else the resident set."""
    # Not imported: a job that has not loaded it has used no GPU, and does not depend on its version.
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_resident()


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
