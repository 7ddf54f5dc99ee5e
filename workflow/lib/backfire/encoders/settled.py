"""What `precision: auto` is in a study: what was measured to be fast, once, and what every job of the study takes."""

from collections.abc import Sequence
from pathlib import Path

from backfire.encoders.device import native_bf16, pick_device
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.jobs.resources import processor_name
from backfire.study.precision import AUTO, meant


def settled(precision: str, file: Sequence[str | Path], task: str) -> str:
    """The arithmetic of a job, fp32, bf16 or fp16: its `precision`, or for `auto` that of the `file`, one or none.

    `task` is `ENCODE` or `TRAIN` (see `study.precision`). Raises `BackfireError` where this machine does not multiply
    in what the study has settled: another arithmetic would be another measurement.
    """
    if precision != AUTO:
        return precision
    (path,) = file
    found = read_json(path)
    chosen = meant(precision, found, task)
    if chosen not in multiplied():
        raise BackfireError(
            f"this study computes in {chosen}, which was measured to be fast on {found['processor']} ({path}); this "
            f"job runs on {processor_name(pick_device())}, which does not multiply in {chosen}.",
            "let its jobs run on machines of one kind (on Slurm: a constraint or a partition), or set precision to "
            "fp32, which every machine has. Nothing was computed in another arithmetic.",
        )
    return chosen


def multiplied() -> list[str]:
    """What the device multiplies natively, fp32 first; in what is emulated it would be slower than in fp32."""
    import torch

    if pick_device().type == "cuda":
        # Emulated, it is said to be there.
        return ["fp32", "fp16", *(["bf16"] if torch.cuda.is_bf16_supported(including_emulation=False) else [])]
    return ["fp32", *(["bf16"] if native_bf16() else [])]
