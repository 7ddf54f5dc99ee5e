"""The words for arithmetic in a study: what is left to a measurement, and which tasks it is measured for."""

from collections.abc import Mapping
from typing import Any

AUTO = "auto"
ENCODE, TRAIN = "encode", "train"


def meant(precision: str, settled: Mapping[str, Any], task: str) -> str:
    """The arithmetic that a `precision` means where `settled` is what was measured (see `training.settling`)."""
    return settled[task]["precision"] if precision == AUTO else precision
