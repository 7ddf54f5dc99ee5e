"""The typed view: what runs, and where training starts."""

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.study.settings import checked
from backfire.study.study import Study
from merged import merged_config


@pytest.fixture
def schema(root):
    return yaml.safe_load((root / "workflow/schemas/config.yaml").read_text())


@pytest.fixture
def config(root, schema):
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


def test_negatives_of_an_example_are_as_many_as_can_be_drawn(config):
    config["triples"]["hard"] |= {"negatives_per_query": 151, "ranks": [50, 200]}
    assert Study(config).triples["hard"].texts == 153
    for changed, message in (
        ({"negatives_per_query": 152}, "hard.negatives_per_query: found 152, but there are 151 .*\nHint: widen ranks"),
        ({"ranks": None, "depth": 150}, "found 151, but there are 150 ranks .*\nHint: raise depth"),
        ({"filter": {"min_score": 0.5, "max_score": 0.4}}, "hard.filter: min_score 0.5 is above max_score 0.4"),
    ):
        with pytest.raises(BackfireError, match=message):
            Study(config | {"triples": config["triples"] | {"hard": config["triples"]["hard"] | changed}})


def test_the_watched_split_is_not_evaluated(config):
    assert Study(config).evaluations == [("pydocs", "test"), ("pydocs", "unseen")]
    config["variants"] = {"base": {"method": "none"}}
    assert ("pydocs", "dev") in Study(config).evaluations


def test_text_that_is_not_trained_on_is_another_collection_or_named_unseen(config):
    config["collections"]["other"] = config["collections"]["pydocs"] | {"train": None, "splits": {"test": "x"}}
    assert Study(config).elsewhere == [("pydocs", "unseen"), ("other", "test")]


def test_choices_are_among_trained_variants_once(config):
    config["seeds"] = [0, 1]
    config["selections"] = {"rate": {"among": ["full_hard", "lora_hard"], "measure": "RR@10"}}
    study = Study(config)
    assert study.candidates == [("full_hard", 0), ("full_hard", 1), ("lora_hard", 0), ("lora_hard", 1)]
    assert study.watched == ("pydocs", "dev") and study.watched not in study.evaluations
    for among, message in (
        (["full_hard", "lora_hart"], "selections.rate.among: 'lora_hart' is not a variant"),
        (["full_hard", "base"], "selections.rate.among: 'base' is not trained"),
    ):
        config["selections"]["rate"]["among"] = among
        with pytest.raises(BackfireError, match=message):
            Study(config)
    config["selections"]["rate"]["among"] = ["full_hard", "lora_hard"]
    config["selections"]["again"] = {"among": ["full_hard", "full_bm25"], "measure": "RR@10"}
    with pytest.raises(BackfireError, match="'full_hard' is in selections.rate as well"):
        Study(config)


def test_references_are_variants_and_base_goes_without_saying(config):
    config["comparison"]["against"] = ["full_hart"]
    with pytest.raises(BackfireError, match="comparison.against: 'full_hart' is not a variant") as caught:
        Study(config)
    assert "full_hard" in str(caught.value)
    config["comparison"]["against"] = ["base"]
    with pytest.raises(BackfireError, match="'base' is listed"):
        Study(config)


@pytest.mark.parametrize(("shards", "parts"), [(1, 8), (7, 3), (16, 8), (64, 8), (640, 7)])
def test_the_parts_of_a_search_cover_every_shard_once_and_evenly(config, shards, parts):
    config["encoding"]["shards"], config["mining"]["parts"] = shards, parts
    study = Study(config)
    covered = [list(study.part_shards(part)) for part in range(1, study.parts + 1)]
    assert sum(covered, []) == list(range(1, shards + 1))
    assert max(map(len, covered)) - min(map(len, covered)) <= 1
    assert study.parts == min(shards, parts)


@pytest.mark.parametrize(
    ("shards", "step", "sizes"),
    [
        (7, 3, [3, 3, 1]),
        (8, 4, [4, 4]),
        (2, 3, [2]),
        (640, 10, [10] * 64),
        # A job takes one shard: none is listed.
        (7, 1, []),
        (1, 3, []),
    ],
)
def test_batches_are_runs_of_shards_that_cover_the_corpus(config, shards, step, sizes):
    config["encoding"] |= {"shards": shards, "shards_per_job": step}
    config["collections"]["small"] = config["collections"]["pydocs"] | {"whole": True, "train": None}
    study = Study(config)
    assert [len(batch) for batch in study.batches] == sizes
    assert [shard for batch in study.batches for shard in batch] == (list(range(1, shards + 1)) if sizes else [])
    assert study.taken("pydocs") == max(sizes, default=1)
    assert study.taken("small") == 1


def test_a_whole_collection_has_one_shard(config):
    config["encoding"]["shards"] = 64
    config["collections"]["small"] = config["collections"]["pydocs"] | {"whole": True, "train": None}
    study = Study(config)
    assert (study.shards_of("pydocs"), study.shards_of("small")) == (64, 1)


def published(config, **changed):
    block = {"negatives": "published", "source": "msmarco-passage/train/triples-small", "teacher": None, "size": 5}
    config["triples"]["bm25"] = block | changed
    return config


def test_published_triples_are_not_mined(config):
    study = Study(published(config))
    assert study.published == {"bm25": "msmarco-passage/train/triples-small"}
    assert study.triples["bm25"].candidates == []


def test_a_choice_changes_one_factor_and_text_for_its_collection_alone(config):
    config["protocol"] = {"collection": "pydocs", "split": "test", "texts": ["untitled"], "max_lengths": [64]}
    config["collections"]["other"] = config["collections"]["pydocs"] | {"train": None, "splits": {"test": "a"}}
    study = Study(config)
    own = study.own_choices
    assert study.chosen("text-untitled") == own | {"text": "untitled"}
    assert study.chosen("max_length-64") == own | {"max_length": 64}
    assert (study.texts("pydocs"), study.texts("other")) == (["default", "untitled"], ["default"])


def test_grades_and_protocols_name_what_exists(config):
    config["collections"]["pydocs"]["relevance"] = {"test": 2}
    assert [Study(config).collections["pydocs"].relevant_from(split) for split in ("test", "unseen")] == [2, 1]
    config["collections"]["pydocs"]["relevance"] = {"tset": 2}
    with pytest.raises(BackfireError, match="relevance: 'tset' is not a split"):
        Study(config)
    config["collections"]["pydocs"]["relevance"] = {}
    config["protocol"] = {"collection": "pydocs", "split": "train", "texts": [], "max_lengths": [], "precisions": []}
    with pytest.raises(BackfireError, match="protocol.split: 'train' is not a split of 'pydocs'"):
        Study(config)


def test_choices_of_protocol_are_what_the_study_does_not_do_anyway(config):
    assert (Study(config).protocol, Study(config).choices) == (Study(config).primary[:2], {})
    tried = {"texts": ["published", "default"], "max_lengths": [64, 128], "precisions": ["fp32", "bf16"]}
    config["protocol"] = {"collection": "pydocs", "split": "unseen", **tried}
    config["encoding"] |= {"max_length": 128, "precision": "auto"}
    study = Study(config)
    assert study.protocol == ("pydocs", "unseen")
    assert study.own_choices == {"text": "default", "max_length": 128, "precision": "auto"}
    assert list(study.choices) == ["text-published", "max_length-64", "precision-fp32", "precision-bf16"]
    config["encoding"]["precision"] = "bf16"
    config["collections"]["pydocs"]["text"] = "published"
    assert list(Study(config).choices) == ["text-default", "max_length-64", "precision-fp32"]


@pytest.mark.parametrize("name", ["msmarco", "vaswani"])
def test_the_studies_that_come_along_are_whole(config, root, name):
    study = Study(merged_config(root, f"studies/{name}.yaml"))
    assert study.name == name
    full, lora = ["full_bm25", "full_hard"], ["lora_bm25", "lora_hard"]
    if name == "vaswani":
        assert study.trained == [*full, "paper_hard", *lora]
        return
    # The paper's own recipe at its own size, with its own negatives.
    paper = ["paper_full_1m", "paper_full_hard", "paper_lora_1m", "paper_lora_hard"]
    assert study.trained == [*full, *lora, *paper]
    settings = [study.variants[each].settings for each in paper]
    assert [each["triples"] for each in settings] == ["bm25", "hard_50_200"] * 2
    assert [(each["method"], each["batch_size"], each["epochs"], each["max_length"]) for each in settings] == [
        *[("full", 1024, 5, 256)] * 2,
        *[("lora", 512, 3, 512)] * 2,
    ]
    # Candidates are mined once for both sets of hard negatives.
    assert study.triples["hard"].candidates == study.triples["hard_50_200"].candidates == ["hard-200"]


def systems(config, **more):
    config["variants"] |= {
        "e5": {"method": "none", "model": "intfloat/e5-small-v2", "model_sha256": "0" * 64},
        "asked": {"method": "none", "prompts": {"query": "q: "}},
        "soup": {"method": "mix", "of": ["base", "full_hard"], "over_seeds": False},
        "merged": {"method": "mix", "of": {"full_hard": 0.75, "base": 0.25}, "over_seeds": True},
        "twice": {"method": "mix", "of": ["soup", "merged"], "over_seeds": False},
        "same": {"method": "mix", "of": {"e5": 1}, "over_seeds": False},
        **more,
    }
    config["variants"]["full_bm25"]["start_from"] = "asked"
    return Study(config | {"seeds": [3, 4]})


def test_a_mix_has_the_seeds_of_what_it_is_made_of(config):
    study = systems(config)
    assert {name: study.seeds_of(name) for name in ("e5", "asked", "soup", "merged", "twice", "same")} == {
        "e5": [0], "asked": [0], "soup": [3, 4], "merged": [0], "twice": [3, 4], "same": [0],
    }  # fmt: skip
    assert study.shares("soup", 4) == [(("base", 0), [0.5]), (("full_hard", 4), [0.5])]
    merged = [(("base", 0), [0.25]), (("full_hard", 3), [0.375]), (("full_hard", 4), [0.375])]
    assert study.shares("merged", 0) == merged
    assert study.shares("twice", 3) == [(("merged", 0), [0.5]), (("soup", 3), [0.5])]
    assert sum(share for _, (share,) in study.shares("merged", 0)) == 1


def test_every_variant_descends_from_a_model_that_is_taken_as_it_is(config):
    study = systems(config)
    assert study.taken_models == ["base", "e5", "asked"]
    assert [study.origin(name) for name in ("base", "full_bm25", "full_hard", "twice", "same")] == [
        "base", "asked", "base", "base", "e5",
    ]  # fmt: skip
    # Prompts change no weights, so the space is base's.
    assert [study.space(name) for name in ("full_bm25", "asked", "same")] == ["base", "base", "e5"]
    base = {"name": config["base_model"], "sha256": None, "where": "base_model"}
    assert study.source_of("asked") == base | {"changes": {"prompts": {"query": "q: "}}}
    assert study.source_of("e5") == {
        "name": "intfloat/e5-small-v2", "sha256": "0" * 64, "where": "variants.e5.model", "changes": {},
    }  # fmt: skip


def test_a_chain_through_mixes_and_trainings_that_comes_back_is_found(config):
    loop = {"method": "mix", "of": ["base", "full_hard"], "over_seeds": False}
    config["variants"]["full_hard"]["start_from"] = "loop"
    with pytest.raises(BackfireError, match="full_hard -> loop -> full_hard comes back to itself"):
        systems(config, loop=loop)


def test_what_has_no_vectors_is_no_start_and_no_part_of_a_mix(config):
    config["variants"] |= {
        "words": {"method": "bm25"},
        "both": {"method": "fuse", "of": ["words", "full_hard"], "k": 60},
    }
    config["seeds"] = [3, 4]
    study = Study(config)
    assert study.seeds_of("words") == [0] and study.seeds_of("both") == [3, 4]
    assert "both" in study.taught and not {"base", "words"} & set(study.taught)
    assert study.runs_of("both", 4) == [("full_hard", 4), ("words", 0)]
    assert not {"words", "both"} & {name for name, _ in study.embedded_runs} and ("both", 3) in study.runs
    for block in ({"method": "mix", "of": ["base", "words"], "over_seeds": False}, config["variants"]["full_hard"]):
        broken = config | {"variants": config["variants"] | {"broken": block | {"start_from": "words"}}}
        with pytest.raises(BackfireError, match="'words' has no model, since its method is bm25"):
            Study(broken)


@pytest.fixture
def joined(config, schema):
    """A study that trains on pydocs and another collection as one; settings of that on top."""

    def make(more=None, **settings):
        more = {"corpus": "vaswani", "train": "vaswani", "splits": {"dev": "vaswani"}} | (more or {})
        config["collections"] |= {"more": more, "both": {"of": {"pydocs": 3, "more": 1}} | settings}
        config["train_on"] = "both"
        return Study(checked(config, schema))

    return make


def test_what_is_watched_of_a_joined_collection_is_cut_off_where_no_split_is_named(config, joined):
    config["dynamics"]["split"] = None
    study = joined()
    both = study.collections["both"]
    assert both.shares == {"pydocs": 0.75, "more": 0.25} and both.splits == {"watched": "train"}
    assert study.watched == ("both", "watched")
    assert study.behind(*study.watched) == [("pydocs", "train"), ("more", "train")]
    assert ("pydocs", "dev") in study.evaluations and ("both", "watched") not in study.evaluations
    assert "both" not in study.looked_at
    assert study.encoding("both") == [("base", 0)] and study.encoding("pydocs") == study.embedded_runs
    assert Study(study.config).collections == study.collections, "a study is made of its own configuration again"


def test_a_split_that_is_watched_in_each_part_is_judged_in_none(config, joined):
    study = joined(splits={"dev": "dev", "all": "dev"})
    assert study.watched == ("both", "dev")
    assert ("pydocs", "dev") not in study.evaluations and ("more", "dev") not in study.evaluations
    assert "both" in study.looked_at, "it has a split that is judged"
    config["primary"]["split"] = "dev"
    with pytest.raises(BackfireError, match=r"primary\.split: 'dev' is the split that is watched in training"):
        joined(splits={"dev": "dev"})


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({}, {"splits": {"dev": "test"}}, r"both\.splits\.dev: 'more' has no query set 'test'; it has train, dev"),
        ({"train": None}, {}, r"collections\.both\.train: 'more' has no query set 'train'"),
        ({"relevance": {"train": 2}}, {}, r"on train grade 1 and above counts as relevant, and on train of"),
        ({}, {"of": ["pydocs", "both"]}, r"collections\.both\.of: 'both' is not a collection of this study"),
    ],
)
def test_what_cannot_be_one_collection_is_told(config, joined, more, settings, message):
    with pytest.raises(BackfireError, match=message):
        joined(more, **{"splits": {"dev": "dev"}} | settings)


def test_what_is_joined_joins_nothing_itself(config, joined):
    config["collections"]["all"] = {"of": ["both", "pydocs"]}
    with pytest.raises(BackfireError, match=r"collections\.all\.of: 'both' joins others itself") as raised:
        joined(splits={"dev": "dev"})
    assert "pydocs, more" in raised.value.hint


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("triples.hard.size", 3, r"the share of 'more', 0.25, of the 3 examples of triples.hard is less than one"),
        (
            "protocol",
            {"collection": "both", "split": "dev", "texts": ["untitled"], "max_lengths": [], "precisions": []},
            r"protocol.texts: 'both' joins others",
        ),
    ],
)
def test_what_a_joined_collection_cannot_give_is_told(config, joined, path, value, message):
    *parents, last = path.split(".")
    block = config
    for parent in parents:
        block = block[parent]
    block[last] = value
    with pytest.raises(BackfireError, match=message):
        joined(splits={"dev": "dev", "all": "dev"})


def test_what_is_cut_off_has_the_grades_of_training(config):
    config["dynamics"]["split"] = None
    config["collections"]["pydocs"]["relevance"] = {"watched": 2}
    with pytest.raises(BackfireError, match=r"pydocs\.relevance: 'watched' is not a split"):
        Study(config)


def test_examples_that_are_taken_as_they_are_have_no_shares(config, joined, tmp_path):
    config["triples"]["mined"] = {"negatives": "file", "file": "mined.tsv"}
    with pytest.raises(BackfireError, match=r"collections\.both\.of: found shares, but triples\.mined are taken as"):
        joined(splits={"dev": "dev"})
    joined(splits={"dev": "dev"}, of=["pydocs", "more"])
    config["triples"]["mined"] = {"negatives": "published", "source": "msmarco-passage/train/triples-small", "size": 10}
    with pytest.raises(BackfireError, match=r"triples as published are of one corpus, and 'both' joins pydocs, more"):
        joined(splits={"dev": "dev"}, of=["pydocs", "more"])
