"""The configuration of config.yaml with overlays on top, as the engine merges it and the workflow checks it."""

import copy
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from backfire.study.settings import checked


def merged_config(root: Path, *overlays: str | dict[str, Any]) -> dict[str, Any]:
    """Checked and filled in; overlays are dicts, or paths of files in the repository."""
    files = ("config.yaml", *overlays)
    layers = [yaml.safe_load((root / each).read_text()) if isinstance(each, str) else each for each in files]
    config: dict[str, Any] = {}
    for layer in layers:
        update_config(config, copy.deepcopy(layer))
    return checked(config, yaml.safe_load((root / "workflow/schemas/config.yaml").read_text()), layers)
