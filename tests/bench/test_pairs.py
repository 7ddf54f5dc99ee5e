"""Two sides in turn, their ratio, and the table that is printed of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench.__main__ import cells, line
from bench.encoding import flop
from bench.pairs import Pair, pair, spread

ROOT = Path(__file__).parents[2]
GROWTH = """
import json
import numpy as np
from bench.pairs import pair
large = lambda: np.ones(8 << 20).sum()
found = pair("x", large, lambda: 0, 1.0, "rows", lambda ours, theirs: "", "other", rounds=1)
print(json.dumps(found.peak_mib))
"""


def test_both_sides_take_turns_and_every_round_counts():
    order = []
    found = pair(
        "sum",
        ours=lambda: order.append("ours") or 1,
        peer=lambda: order.append("peer") or 2,
        work=10.0,
        unit="rows",
        agreement=lambda ours, theirs: f"{ours} against {theirs}",
        peer_name="other",
        rounds=2,
    )
    assert order == ["peer", "ours"] * 3
    assert found.agreement == "1 against 2"
    assert [len(found.ours), len(found.peer), len(found.ratios)] == [2, 2, 2]


def test_memory_is_what_a_side_grows_by():
    # In a process of its own: allocators that earlier tests have loaded give memory back when they please.
    ours, peer = json.loads(subprocess.check_output([sys.executable, "-c", GROWTH], cwd=ROOT))
    assert ours == pytest.approx(64, abs=16)
    assert peer < 16


def test_a_ratio_above_one_says_that_ours_is_faster():
    row = Pair(
        "x", "other", [1.0, 2.0, 1.0], [2.0, 2.0, 4.0], [1.0], [1.0], 100.0, "rows", "same", (1, 2), (0, 0), flop=3e9
    )
    assert row.ratios == [2.0, 1.0, 4.0]
    assert spread(row.ratios) == "2.00 (1.00 to 4.00)"
    assert (
        line(cells(row, {"fp32": 6.0}))
        == "| x | other | 2.00 (1.00 to 4.00) | 100 rows/s | 50 rows/s | same | 1 against 2 | 3 G (50% of fp32) |"
    )


def test_operations_of_a_forward_pass_are_those_that_torch_counts():
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2}
    model = BertModel(BertConfig(**sizes, num_attention_heads=4, vocab_size=100, attn_implementation="eager"), False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones((3, 24), dtype=torch.int64))
    assert flop(sizes, np.full(3, 24)) == counter.get_total_flops()
