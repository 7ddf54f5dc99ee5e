"""Settings of adapters: which are plain LoRA, which are peft's, and which are refused, with what to do."""

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.study.adapters import check_fit


@pytest.fixture
def settings_of(study_of):
    """A function that gives the variant lora_hard of the default study with more in its `lora` block."""
    only = {"lora_bm25": None}
    return lambda **lora: study_of({"variants": only | {"lora_hard": {"lora": lora}}}).variants["lora_hard"]


def test_plain_lora_is_what_it_was_and_anything_more_is_by_peft(settings_of, study_of):
    """No setting of peft has a default: what a study was trained with is what it says now, to the key."""
    plain = settings_of()
    assert plain.settings["lora"] == {"rank": 8, "alpha": 16, "dropout": 0.0, "target_modules": ["query", "value"]}
    assert plain.adapted and not plain.by_peft
    for lora in (
        {"use_dora": True},
        {"use_rslora": False},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_16"},
        {"init_lora_weights": False},
        {"target_modules": "all-linear"},
        {"rank_pattern": {"layer.5.attention.self.query": 16}},
        {"alpha_pattern": {"query": 4.5}},
        {"exclude_modules": "encoder.layer.0.*"},
        {"layers_to_transform": 4},
        {"layers_to_transform": [4, 5], "layers_pattern": "layer"},
        {"bias": "all"},
    ):
        found = settings_of(**lora)
        assert found.by_peft, lora
        assert found.settings["lora"] == plain.settings["lora"] | lora
    assert not any(study_of().variants[name].by_peft for name in ("base", "full_hard", "lora_bm25"))


@pytest.mark.parametrize(
    ("lora", "said", "hint"),
    [
        ({"init_lora_weights": "eva"}, "found 'eva', which starts from what each layer's inputs are", "is pissa"),
        ({"init_lora_weights": "corda"}, "found 'corda', which starts from the covariance", "is pissa"),
        ({"init_lora_weights": "lora_ga"}, "found 'lora_ga', which starts from gradients", "is olora"),
        ({"init_lora_weights": "loftq"}, "found 'loftq', which starts from weights that are quantised", "is pissa"),
        ({"init_lora_weights": "pisa"}, "init_lora_weights: found 'pisa'", "did you mean 'pissa'"),
        ({"init_lora_weights": "pissa_niter_"}, "found 'pissa_niter_'", "pissa_niter_4"),
        ({"init_lora_weights": 1}, "found 1, expected boolean or string", "How adapters start"),
        ({"init_lora_weights": "orthogonal", "rank": 3}, "orthogonal takes an even rank, found 3", "even"),
        (
            {"init_lora_weights": "orthogonal", "rank_pattern": {"query": 5}},
            "orthogonal takes an even rank, found 5",
            "even",
        ),
        ({"init_lora_weights": "mica", "use_dora": True}, "peft has no DoRA whose start is mica", "pissa"),
        ({"layers_pattern": "layer"}, "no layers_to_transform says which", "as [4, 5]"),
        ({"target_modules": ".*query", "layers_to_transform": [1]}, "it goes with a list of target_modules", "list"),
        ({"target_modules": ".*(query"}, r"'\.\*\(query' is no regular expression", "list"),
        ({"rank_pattern": {"query)": 5}}, r"'query\)' is no regular expression", "pattern"),
        ({"layers_to_transform": [-1]}, "found -1, expected at least 0", ""),
        ({"layers_to_transform": -1}, "found -1, expected at least 0", ""),
        ({"rank_pattern": {"query": 2.5}}, "found 2.5, expected integer", ""),
        ({"rank_pattern": {}}, "expected at least 1 entry", ""),
        ({"bias": "some"}, "found 'some', expected one of none, lora_only, all", ""),
        ({"use_dora": "yes"}, "found 'yes', expected boolean", ""),
        ({"target_modules": []}, "expected at least 1 item", ""),
        ({"target_modules": ""}, "expected some text", ""),
        ({"use_doora": True}, "unknown key 'use_doora', did you mean 'use_dora'", "spelling"),
        ({"modules_to_save": ["LayerNorm"]}, "'modules_to_save' is not taken: it trains whole layers", "remove it"),
        ({"loftq_config": {}}, "'loftq_config' is not taken: it quantises the weights", "remove it"),
        ({"r": 8}, "'r' is not taken: it is called rank here", "remove it"),
    ],
)
def test_what_cannot_be_is_refused_with_the_words_read(settings_of, lora, said, hint):
    with pytest.raises(BackfireError, match=said) as caught:
        settings_of(**lora)
    assert "variants.lora_hard.lora" in caught.value.message
    assert hint in caught.value.hint


def test_every_setting_of_peft_is_taken_or_refused_by_name_or_unknown(root):
    """All names that the schema takes or gives a reason for are settings of the library that is installed."""
    from dataclasses import fields

    from peft import LoraConfig

    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text())
    kinds = schema["properties"]["variants"]["additionalProperties"]["oneOf"]
    block = next(kind for kind in kinds if kind["properties"]["method"]["const"] == "lora")["properties"]["lora"]
    known = {field.name for field in fields(LoraConfig)}
    taken, refused = set(block["properties"]), set(block["x-refused"])
    assert taken - known == {"rank", "alpha", "dropout"}
    assert refused <= known and not taken & refused


LAYERS = [f"layers.{number}.{name}" for number in range(2) for name in ("attn.q", "attn.v", "mlp.out")]


@pytest.mark.parametrize(
    ("lora", "said", "hint"),
    [
        (
            {"layers_to_transform": [1]},
            "layers_to_transform: 1 is no layer",
            "no number was found in names as layers.0",
        ),
        ({"layers_to_transform": [1, 2], "layers_pattern": "layers"}, "2 is no layer", "numbered 0 to 1"),
        (
            {"layers_to_transform": [1], "layers_pattern": ["layers"], "rank_pattern": {"layers.0.attn.q": 2}},
            "'layers.0.attn.q' means no adapted layer",
            "adapters go around layers.1.attn.q, layers.1.attn.v.",
        ),
    ],
)
def test_layers_are_counted_as_peft_counts_them(lora, said, hint):
    """Where layers lie in a list at the top, that list has to be named."""
    wanted = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["q", "v"]}
    check_fit("lora", wanted | {"layers_to_transform": [1], "layers_pattern": "layers"}, LAYERS)
    with pytest.raises(BackfireError, match=said) as caught:
        check_fit("lora", wanted | lora, LAYERS)
    assert hint in caught.value.hint
