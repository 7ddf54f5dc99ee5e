"""Adapters as the report tells them: kind, start, layers."""

import pytest

from backfire.report.adapters import adapted, adapter

PLAIN = {"rank": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["query", "value"]}


def test_plain_lora_is_told_as_it_was():
    assert adapter(PLAIN) == "LoRA of rank 8"
    assert adapted(PLAIN) == (
        "LoRA adapters of rank 8 (alpha 16, dropout 0.1) are trained on the modules query and value and merged into "
        "the weights afterwards."
    )


def test_all_that_differs_is_told():
    lora = PLAIN | {
        "use_dora": True,
        "use_rslora": True,
        "init_lora_weights": "pissa_niter_4",
        "rank_pattern": {"layer.5.attention.self.query": 16},
        "exclude_modules": ["layer.0.attention.self.query"],
        "layers_to_transform": [0, 5],
        "bias": "lora_only",
    }
    assert adapter(lora) == "rank-stabilised DoRA of rank 8, PiSSA start"
    assert adapted(lora) == (
        "Rank-stabilised DoRA adapters of rank 8 (alpha 16, dropout 0.1, rank 16 where a name ends with "
        "'layer.5.attention.self.query', the update scaled by alpha over the root of the rank) that start from the "
        "largest singular vectors of the weights (PiSSA) are trained on the modules query and value but "
        "layer.0.attention.self.query of layers 0 and 5, with their biases, and merged into the weights afterwards."
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"init_lora_weights": "gaussian"}, "that start from normal numbers are trained"),
        ({"init_lora_weights": "olora"}, "(OLoRA) are trained"),
        ({"init_lora_weights": True}, "dropout 0.1) are trained"),
        ({"init_lora_weights": False}, "that start at random are"),
        ({"target_modules": "all-linear"}, "on all linear layers and merged"),
        ({"target_modules": ".*query"}, "on the modules named '.*query' and merged"),
        ({"layers_to_transform": 3, "bias": "all"}, "value of layer 3, with all biases of the transformer, and merged"),
    ],
)
def test_each_in_words(more, said):
    assert said in adapted(PLAIN | more)
