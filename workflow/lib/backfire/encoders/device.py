"""What computes: a GPU or the CPU, and in which arithmetic. torch is imported where it is asked."""

import logging
from typing import TYPE_CHECKING

from backfire.errors import BackfireError
from backfire.jobs.gpus import visible_gpus

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def pick_device() -> "torch.device":
    """The GPU where there is one, else the CPU; one that was chosen and cannot be used is a warning in the log."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if chosen := visible_gpus():
        built = f"torch {torch.__version__}, built for CUDA {torch.version.cuda or 'not at all'}"
        logger.warning("%s cannot use the GPU %s, so this job computes on the CPU; check the driver", built, chosen[0])
    return torch.device("cpu")


def pick_gpu() -> "torch.device | None":
    """The GPU where there is one; where there is none torch is not imported."""
    if not visible_gpus():
        return None
    device = pick_device()
    return device if device.type == "cuda" else None


def pick_dtype(precision: str, device: "torch.device") -> "torch.dtype":
    """The type that `precision` (fp32, bf16, fp16) means on a device. Raises `BackfireError` for fp16 on a CPU."""
    import torch

    if precision == "fp16" and device.type == "cpu":
        raise BackfireError("encoding.precision: fp16 on a CPU.", "use auto, bf16 or fp32; fp16 needs a GPU.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def native_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX-512 BF16 or AMX); emulated, it would be slower than fp32."""
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
