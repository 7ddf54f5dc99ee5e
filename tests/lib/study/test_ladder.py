"""The variants between two recipes: which there are, what they are called, and what is refused."""

from itertools import pairwise

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.study.ladder import ORDERS
from backfire.study.settings import checked_study
from backfire.study.study import Study
from merged import merged_config

AUTHORS = {"name": "triplet", "distance": "euclidean", "margin": 5.0, "normalize": False}
FAR = {"like": "full_bm25", "loss": AUTHORS, "learning_rate": 4.0e-5}
FACTORS = {
    "distance": ["loss.distance", "loss.normalize"],
    "margin": ["loss.margin"],
    "negatives": ["triples"],
    "rate": ["learning_rate"],
}


@pytest.fixture
def ladder_of(study_of):
    """A function that makes the study with a ladder from full_hard to a variant `far`."""

    def make(factors=FACTORS, far=FAR, variants=(), **settings):
        block = {"from": "full_hard", "to": "far", "factors": factors} | settings
        return study_of({"variants": {"far": far} | dict(variants), "ladder": block})

    return make


def test_every_combination_of_four_factors_is_a_variant_with_the_settings_of_either_end(ladder_of):
    study = ladder_of()
    ladder = study.ladder
    assert len(ladder.rungs) == 16 and len(ladder.orders) == 24
    # Recipes that the study has anyway are not trained twice.
    assert ladder.rungs["full_bm25"] == {"negatives"} and ladder.rungs["paper_hard"] == {"distance", "margin"}
    assert len(ladder.made) == 12
    # Only the two ends are compared; what lies between is trained and ranked.
    assert not ladder.made.keys() & set(study.compared)
    assert {name for name, _ in study.rungs} == ladder.made.keys() < set(study.trained)
    assert not ladder.made.keys() & {name for name, _ in [*study.runs, *study.embedded_runs, *study.first_runs]}
    ends = {name: study.variants[name].settings for name in ("full_hard", "far")}
    for name, taken in ladder.rungs.items():
        made = study.variants[name].settings
        for factor, keys in FACTORS.items():
            for key in keys:
                value, wanted = made, ends["far" if factor in taken else "full_hard"]
                for part in key.split("."):
                    value, wanted = value[part], wanted[part]
                assert value == wanted, (name, key)
    assert ladder.rungs["full_hard--distance-rate"] == {"distance", "rate"}
    assert ladder.changes["distance"] == [
        ("loss.distance", "cosine", "euclidean"),
        ("loss.normalize", "yes", "no"),
    ]


def test_a_variant_of_the_study_with_the_recipe_of_a_rung_is_that_rung(ladder_of):
    study = ladder_of(variants={"quick": {"like": "full_hard", "learning_rate": 4.0e-5}})
    assert study.ladder.rungs["quick"] == {"rate"}
    assert "full_hard--rate" not in study.variants


def test_a_default_that_follows_from_the_distance_counts_as_a_difference(ladder_of):
    far = FAR | {"loss": {"name": "triplet", "distance": "euclidean"}}
    factors = {"distance": ["loss.distance"], "negatives": ["triples"], "rate": ["learning_rate"]}
    with pytest.raises(BackfireError, match=r"also differ in loss\.margin \(0\.2 and 5\)"):
        ladder_of(factors, far)
    assert ladder_of(factors | {"margin": ["loss.margin"]}, far).ladder


def test_settings_that_only_one_end_has_are_added_and_removed(study_of):
    factors = {"adapters": ["method", "lora"], "rate": ["learning_rate"], "negatives": ["triples"]}
    study = study_of({"ladder": {"from": "full_hard", "to": "lora_bm25", "factors": factors}})
    adapted, full = (study.variants[f"full_hard--{name}"] for name in ("adapters", "rate"))
    assert adapted.adapted and adapted.settings["learning_rate"] == 2.0e-5
    assert not full.adapted and full.settings["learning_rate"] == 2.0e-3
    assert study.ladder.rungs["lora_hard"] == {"adapters", "rate"}


def test_what_training_starts_from_may_be_a_factor(ladder_of):
    far = {"like": "full_hard", "start_from": "full_bm25", "learning_rate": 4.0e-5}
    study = ladder_of({"start": ["start_from"], "rate": ["learning_rate"]}, far)
    assert study.parent("full_hard--start", 0) == ("full_bm25", 0)


def test_of_many_factors_orders_are_drawn_each_with_its_reverse(ladder_of):
    far = FAR | {"epochs": 2, "max_length": 64}
    factors = FACTORS | {"epochs": ["epochs"], "length": ["max_length"]}
    ladder = ladder_of(factors, far).ladder
    assert len(ladder.orders) == len(set(ladder.orders)) == ORDERS
    assert all(two == one[::-1] for one, two in list(pairwise(ladder.orders))[::2])
    passed = {frozenset(order[:count]) for order in ladder.orders for count in range(7)}
    assert set(ladder.rungs.values()) == passed and len(passed) < 64
    # The draw depends on the seed alone.
    assert ladder_of(dict(reversed(factors.items())), far).ladder.orders == ladder.orders
    assert ladder_of(factors, far, seed=1).ladder.orders != ladder.orders
    assert len(ladder_of(factors, far, orders=3).ladder.orders) == 3
    assert len(ladder_of(factors, far, orders=720).ladder.rungs) == 64


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"factors": {key: FACTORS[key] for key in ("distance", "margin", "rate")}}, "also differ in triples"),
        ({"factors": FACTORS | {"length": ["max_length"]}}, "have the same max_length"),
        ({"factors": FACTORS | {"length": ["max_lenght"]}}, "did you mean 'max_length'?"),
        ({"factors": FACTORS | {"again": ["loss"]}}, "is in 'again' and in"),
        ({"factors": FACTORS | {"rate": ["learning_rate", "learning_rate.x"]}}, "is no setting of these variants"),
        ({"to": "bse"}, "did you mean 'base'?"),
        ({"to": "base"}, "'base' is not trained (its method is none)"),
        ({"from": "far"}, "from and to are both 'far'"),
    ],
)
def test_what_makes_no_ladder_is_refused(ladder_of, block, message):
    with pytest.raises(BackfireError) as caught:
        ladder_of(**block)
    assert message in str(caught.value)


def test_a_key_within_objectives_of_two_kinds_is_refused(ladder_of):
    far = {"like": "full_hard", "loss": {"name": "gist", "margin": 0.1}, "learning_rate": 4.0e-5}
    with pytest.raises(BackfireError, match="take loss as a whole"):
        ladder_of({"margin": ["loss.margin"], "rate": ["learning_rate"]}, far)
    assert ladder_of({"objective": ["loss"], "rate": ["learning_rate"]}, far).ladder


def test_settings_of_a_rung_that_do_not_go_together_are_told_to_be_the_ladders(ladder_of):
    far = {"like": "full_hard", "keep": "best", "held_out": {"share": 0.1}}
    with pytest.raises(
        BackfireError, match="'full_hard--keep' is a variant that the ladder makes, with keep"
    ) as caught:
        ladder_of({"keep": ["keep"], "apart": ["held_out"]}, far)
    assert "nothing is held out" in caught.value.message
    assert "put settings that only go together into one factor" in caught.value.hint


def test_objectives_put_together_anew_must_be_ones_but_may_ask_for_what_no_cosine_meets(ladder_of):
    ranking = {"name": "multiple_negatives_ranking"}
    both = {
        "full_hard": {"loss": ranking | {"partition_mode": "per_direction", "directions": ["query_to_doc"]}},
    }
    far = {
        "like": "full_hard",
        "loss": ranking | {"partition_mode": "joint", "directions": ["query_to_doc", "doc_to_doc"]},
    }
    with pytest.raises(BackfireError, match="per_direction, but doc_to_doc.*'full_hard--sides' is a variant that"):
        ladder_of({"mode": ["loss.partition_mode"], "sides": ["loss.directions"]}, far, both)
    assert ladder_of().variants["full_hard--margin"].settings["loss"]["margin"] == 5.0


def test_of_two_variants_with_the_recipe_of_a_rung_the_first_by_name_is_it(ladder_of):
    twins = {name: {"like": "full_hard", "learning_rate": 4.0e-5} for name in ("zed", "ann")}
    assert ladder_of(variants=twins).ladder.rungs["ann"] == {"rate"}
    assert ladder_of(variants=dict(reversed(twins.items()))).ladder.rungs["ann"] == {"rate"}


def test_a_variant_that_is_no_recipe_is_refused_by_the_schema(root):
    factors = {"method": ["method"], "adapter": ["lora"], "rate": ["learning_rate"]}
    config, schema = (
        yaml.safe_load((root / path).read_text()) for path in ("config.yaml", "workflow/schemas/config.yaml")
    )
    config["ladder"] = {"from": "full_bm25", "to": "lora_bm25", "factors": factors}
    with pytest.raises(BackfireError) as caught:
        checked_study(config, schema)
    assert "variants.full_bm25--method: missing key lora" in str(caught.value)
    assert "variants.full_bm25--adapter: unknown key 'lora'" in str(caught.value)
    config["ladder"]["factors"] = {"adapters": ["method", "lora"], "rate": ["learning_rate"]}
    assert checked_study(config, schema).ladder


def test_an_overlay_drops_a_factor_by_null(root):
    factors = {"distance": ["loss"], "rate": ["learning_rate"], "length": ["max_length"]}
    far = {"like": "full_hard", "loss": AUTHORS, "learning_rate": 4.0e-5}
    block = {"from": "full_hard", "to": "far", "factors": factors | {"length": None}}
    config = merged_config(root, {"variants": {"far": far}, "ladder": block})
    assert list(Study(config).ladder.factors) == ["distance", "rate"]


def test_a_variant_of_another_recipe_cannot_have_the_name_of_a_rung(ladder_of):
    with pytest.raises(BackfireError, match=r"variants\.full_hard--rate: the ladder makes a variant of this name"):
        ladder_of(variants={"full_hard--rate": {"like": "full_hard", "epochs": 3}})


@pytest.mark.parametrize(
    "settings",
    [
        {"comparison": {"against": ["full_hard--rate"]}},
        {"selections": {"one": {"among": ["full_hard", "full_hard--rate"]}}},
        {"variants": {"both": {"method": "fuse", "of": ["base", "full_hard--rate"]}}},
    ],
)
def test_nothing_else_names_a_rung(study_of, settings):
    factors = {"distance": ["loss"], "rate": ["learning_rate"]}
    far = {"like": "full_hard", "loss": AUTHORS, "learning_rate": 4.0e-5}
    ladder = {"ladder": {"from": "full_hard", "to": "far", "factors": factors}}
    study_of({"variants": {"far": far}}, ladder)
    with pytest.raises(BackfireError, match="'full_hard--rate' is not a variant of this study"):
        study_of({"variants": {"far": far}}, ladder, settings)
