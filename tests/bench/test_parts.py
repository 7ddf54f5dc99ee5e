"""Each part of `python -m bench` runs to its end with real parts, at a size of seconds."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from bench.__main__ import HEAD, PARTS, cells

from bench import search, significance, training

ROOT = Path(__file__).parents[2]
SMALL = {"rounds": 1, "passages": 60, "queries": 20, "steps": 1, "seeds": 1, "only": "default", "threads": 2}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_measures_both_sides(part, monkeypatch):
    monkeypatch.setattr(search, "SIZES", [(20, 500, 10)])
    monkeypatch.setattr(search, "AROUND", 20)
    for name, value in {"QUERIES": 50, "VARIANTS": 2, "FLIPS": 1000, "PEER_FLIPS": 1000}.items():
        monkeypatch.setattr(significance, name, value)
    monkeypatch.setattr(training, "POOL", 100)
    monkeypatch.setattr(training, "HELD_OUT", 20)
    found = list(importlib.import_module(f"bench.{part}").run(argparse.Namespace(**SMALL)))
    assert found
    for each in found:
        assert len(each.ours) == len(each.peer) == 1 and min(each.ours + each.peer) > 0
        assert len(cells(each, {"fp32": 100.0, "bf16": 50.0})) == len(HEAD)


def test_a_gpu_that_is_asked_for_and_missing_is_refused():
    import torch

    if torch.cuda.is_available():
        pytest.skip("for machines without a GPU")
    done = subprocess.run([sys.executable, "-m", "bench", "--gpu"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "finds none" in done.stderr
