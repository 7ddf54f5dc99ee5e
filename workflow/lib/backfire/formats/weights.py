"""Weights of models: safetensors, never pickles."""

from pathlib import Path

from backfire.errors import BackfireError


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
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BackfireError(
            f"{path}: not a readable safetensors file ({error}).",
            "it is missing, cut short or damaged; delete the model's folder and run again, or fetch it anew.",
        ) from error
