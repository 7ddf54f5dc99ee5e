"""Alternatives that a study asks for by one word, and what stands for the best of several variants."""

import pytest
import yaml
from example_study import VERDICTS, example_config

from backfire.errors import BackfireError
from backfire.provenance.fingerprints import plain
from backfire.study.settings import checked
from backfire.study.study import Study

CHEAP = {
    "bm25": {"method": "bm25"},
    "bm25_base": {"of": ["base", "bm25"]},
    "bm25_best": {"of": ["bm25", "best"], "best_of": list(VERDICTS)},
    "best_mixed": {"of": ["base", "best"], "shares": [0.25, 0.5, 0.75], "best_of": list(VERDICTS)},
}


@pytest.fixture
def study(root):
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))

    def made(edit=lambda config: None, seeds=1, **changes):
        config = example_config(root, VERDICTS, seeds=seeds)
        edit(config)
        return Study(checked(config | changes, schema))

    return made


def test_without_the_word_nothing_is_added(study):
    assert study().compared == ["base", *VERDICTS] and study(alternatives=None).choosing == {}


def test_cheap_ones_train_nothing_and_come_behind_the_studys_own(study):
    own, found = study(), study(alternatives="cheap")
    assert found.compared == [*own.compared, *CHEAP] and found.trained == own.trained
    for name, expected in CHEAP.items():
        assert {key: found.variants[name].settings[key] for key in expected} == expected
    takers = ["best_mixed", "bm25_best"]
    assert list(found.choosing.items()) == [(name, "best_mixed") for name in takers]
    # As a job reads it from its parameters.
    assert Study(plain(found.config)).choosing == found.choosing
    assert found.seeds_of("best_mixed") == found.seeds_of("bm25_best") == [0] and found.seeds_of("bm25_base") == [0]


def test_several_seeds_are_averaged_too(study):
    found = study(alternatives="cheap", seeds=3)
    soup = found.variants["best_soup"]
    assert soup.parents == list(VERDICTS) and soup.tried == [{"best": 1.0}]
    assert found.shares("best_soup", 0) == [] and found.seeds_of("best_soup") == [0]
    assert found.candidates_of("best_soup", 0) == [(name, seed) for name in VERDICTS for seed in range(3)]
    assert found.candidates_of("best_mixed", 2) == [(name, 2) for name in VERDICTS]
    assert found.shares("best_mixed", 2) == [(("base", 0), [0.75, 0.5, 0.25])]
    assert found.runs_of("bm25_best", 1) == [("bm25", 0)]


def test_standard_ones_are_trained_as_one_of_the_studys_own(study):
    found = study(alternatives="standard")
    own = found.variants["full_hard"].settings
    for name in ("contrastive", "queries_alone", "anchored", "filtered"):
        settings = found.variants[name].settings
        differ = {key for key in own if settings[key] != own[key]}
        assert differ == {"loss"} | {"filtered": {"triples"}, "queries_alone": {"freeze"}}.get(name, set())
    assert [term["name"] for term in found.variants["anchored"].settings["loss"]["terms"]] == [
        "multiple_negatives_ranking",
        "anchor",
    ]
    filtered = found.triples[found.variants["filtered"].triples]
    assert filtered.name == "hard_filtered" and filtered.filter["relative_margin"] == 0.05
    assert not found.triples["hard"].filter
    # They are none of those that the best is taken of, which are the study's own.
    assert found.variants["best_mixed"].best_of == list(VERDICTS)


def test_all_takes_what_a_teacher_gives_and_counts_models_from_elsewhere(study):
    def edit(config):
        config["triples"]["bm25"]["teacher"] = {"model": "someone/a-cross-encoder"}
        config["variants"]["e5"] = {"method": "none", "model": "intfloat/e5-small-v2"}

    found, standard = study(edit, alternatives="all"), study(alternatives="standard")
    added = ["e5", *standard.alternatives, "distilled", "base_reranked"]
    assert found.alternatives == sorted(added, key=found.compared.index) and "e5" not in standard.variants
    distilled = found.variants["distilled"]
    assert (distilled.triples, distilled.settings["loss"]["name"]) == ("bm25", "margin_mse")
    assert found.variants["base_reranked"].model == "someone/a-cross-encoder"
    assert "distilled" not in study(alternatives="all").variants
    # A job reads the list that was made of it.
    assert Study(plain(found.config)).alternatives == sorted(added, key=sorted(found.compared).index)


def test_a_list_names_sets_and_variants_and_what_is_not_listed_is_the_studys_own(study):
    found = study(alternatives=["lora_hard", "cheap"])
    assert found.alternatives == ["lora_hard", *CHEAP]
    assert study(alternatives=["lora_hard"]).alternatives == ["lora_hard"] and study().alternatives == []


def test_a_variant_of_the_study_stands_in_the_place_of_one_of_that_name(study):
    def edit(config):
        config["variants"]["bm25"] = {"method": "bm25", "k1": 1.2}

    found = study(edit, alternatives="cheap")
    assert found.variants["bm25"].settings["k1"] == 1.2 and found.compared.index("bm25") == len(VERDICTS) + 1


def test_only_what_comes_of_base_is_averaged_with_it(study):
    def edit(config):
        config["variants"]["full_bm25"]["start_from"] = "full_hard"

    assert "full_bm25" not in study(edit, alternatives="cheap").variants["best_mixed"].best_of


def test_a_study_of_models_alone_has_bm25(root):
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))
    found = Study(checked(example_config(root, {}) | {"alternatives": "standard"}, schema))
    assert found.compared == ["base", "bm25", "bm25_base"]


def mixed(**settings):
    return lambda config: config["variants"].update(half={"method": "mix", **settings})


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (
            mixed(of={"base": 1.0}, best_of=["full_hard"]),
            "variants.half.best_of: the best of full_hard has no place in of",
        ),
        (
            mixed(of=["base", "full_hard", "full_bm25"], shares=[0.1, 0.2]),
            "variants.half.shares: they are of the second of two variants, and of has base, full_hard, full_bm25",
        ),
        (lambda config: config.update(alternatives=["chaep"]), "alternatives: 'chaep' is not a variant of this study"),
        (lambda config: config.update(alternatives=["base"]), "alternatives: 'base' is listed"),
        (mixed(of=["base", "best"]), "variants.half.of: 'best' is not a variant of this study"),
        (mixed(of=["base", "best"], best_of=["base"]), "variants.half.best_of: 'base' is not trained"),
        (mixed(of=["base", "best"], best_of=["full_hart"]), "variants.half.best_of: 'full_hart' is not a variant"),
        (mixed(of={"base": 0.5, "best": 0.6}, best_of=["full_hard"]), "the shares sum to 1.1"),
        (
            lambda config: config.update(alternatives="every"),
            "alternatives: found 'every', expected one of cheap, standard, all",
        ),
        (
            lambda config: (
                config["variants"].update(best={"method": "bm25"}),
                mixed(of=["base", "best"], best_of=["full_hard"])(config),
            ),
            "a variant of the study has that name",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(study, edit, told):
    with pytest.raises(BackfireError) as error:
        study(edit)
    assert told in error.value.message
