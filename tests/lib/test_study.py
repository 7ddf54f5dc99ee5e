"""The typed view: what runs, and where training starts."""

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.settings import checked
from backfire.study import Study


@pytest.fixture
def config(root):
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text())
    return checked(yaml.safe_load((root / "config.yaml").read_text()), schema)


def test_base_runs_once_and_the_others_once_per_seed(config):
    config["seeds"] = [0, 7]
    runs = Study(config).runs
    assert runs.count(("base", 0)) == 1
    assert ("base", 7) not in runs
    assert [seed for variant, seed in runs if variant == "lora_hard"] == [0, 7]


def test_training_starts_from_base_or_from_the_same_seed_of_another_variant(config):
    config["seeds"] = [3]
    config["variants"]["full_hard"]["start_from"] = "full_bm25"
    study = Study(config)
    assert study.parent("full_bm25", 3) == ("base", 0)
    assert study.parent("full_hard", 3) == ("full_bm25", 3)


def test_a_longer_circle_of_variants_is_found(config):
    config["variants"]["full_hard"]["start_from"] = "lora_hard"
    config["variants"]["lora_hard"]["start_from"] = "full_hard"
    with pytest.raises(BackfireError, match="comes back to itself"):
        Study(config)


def test_key_order_of_the_configuration_does_not_show_in_slices(config):
    reordered = dict(
        config, variants={name: dict(reversed(block.items())) for name, block in config["variants"].items()}
    )
    left, right = Study(config), Study(reordered)
    assert all(repr(left.variants[name].settings) == repr(right.variants[name].settings) for name in left.variants)


def test_the_watched_split_is_not_evaluated(config):
    assert Study(config).evaluations == [("pydocs", "test"), ("pydocs", "unseen")]
    config["variants"] = {"base": {"method": "none"}}
    assert ("pydocs", "dev") in Study(config).evaluations
