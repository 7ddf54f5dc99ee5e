"""Weights of models: safetensors, never pickles."""

from pathlib import Path

from backfire.errors import BackfireError
from backfire.jobs.faults import explained, reading

_READ = 1 << 24


def read_through(path: str | Path) -> None:
    """Read a file once, so that what the disk refuses is an error that names it.

    The library maps files: there the process would end by SIGBUS, and one that cannot be opened would be missing.
    """
    with reading(path), Path(path).open("rb", buffering=0) as stream:
        while stream.read(_READ):
            pass


def check_weights(path: str | Path) -> None:
    """Raise `BackfireError` for a safetensors file that is missing or cut short; nothing of it is kept."""
    from safetensors import SafetensorError, safe_open

    try:
        read_through(path)
        with safe_open(path, framework="numpy") as weights:
            weights.keys()
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from error


def read_weights(path: str | Path, framework: str = "torch") -> dict:
    """The tensors of a safetensors file by name: for torch, on the CPU, or arrays of numpy.

    Raises `BackfireError` when the file is missing or damaged.
    """
    from safetensors import SafetensorError

    if framework == "torch":
        from safetensors.torch import load_file
    else:
        from safetensors.numpy import load_file
    try:
        read_through(path)
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, MemoryError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> BackfireError:
    return explained(error, path) or BackfireError(
        f"{path}: not a readable safetensors file ({error}).",
        "it is missing, cut short or damaged; delete the model's folder and run again, or fetch it anew.",
    )
