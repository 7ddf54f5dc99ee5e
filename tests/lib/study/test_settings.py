"""The configuration: every mistake a person makes is one line that says what to do."""

import copy
import re

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.study.settings import checked, left_out
from backfire.study.study import Study
from merged import merged_config


@pytest.fixture
def schema(root):
    return yaml.safe_load((root / "workflow/schemas/config.yaml").read_text())


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config.yaml").read_text())


def edited(config, path, value):
    """A copy of `config` with the key at a dotted path set, or removed where `value` is None."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    block = config
    for parent in parents:
        block = block[parent]
    if value is None:
        del block[last]
    else:
        block[last] = value
    return config


def test_the_shipped_config_fits_and_gets_every_default(config, schema):
    filled = checked(config, schema)
    assert filled["encoding"]["batch_tokens"] is None
    assert filled["variants"]["full_hard"]["start_from"] == "base"
    assert filled["variants"]["full_hard"]["precision"] == "auto"
    assert filled["base_model_sha256"] is None
    study = Study(filled)
    assert study.trained == ["full_bm25", "full_hard", "paper_hard", "lora_bm25", "lora_hard"]
    assert study.runs[0] == ("base", 0)


def test_absent_sections_are_filled_deeply(config, schema):
    for section in ("encoding", "ranking", "comparison", "geometry", "projection", "latency", "dynamics"):
        config.pop(section)
    filled = checked(config, schema)
    assert filled["encoding"]["shards"] == 1
    assert filled["ranking"]["depth"] == 1000


def test_null_removes_an_entry_of_an_overlay(config, schema):
    config["variants"]["lora_hard"] = None
    config["collections"]["pydocs"]["splits"]["unseen"] = None
    filled = checked(config, schema)
    assert "lora_hard" not in filled["variants"]
    assert list(filled["collections"]["pydocs"]["splits"]) == ["dev", "test"]


@pytest.mark.parametrize(
    ("path", "value", "message", "hint"),
    [
        ("enconding", {"shards": 2}, "unknown key 'enconding', did you mean 'encoding'?", "workflow/schemas"),
        ("variants.full_hard.learning_rat", 0.1, "did you mean 'learning_rate'?", "spelling"),
        ("variants.full_hard.learning_rate", "2e-5", "found the text '2e-5', expected a number", "write 2.0e-5"),
        ("variants.full_hard.batch_size", "32", "found the text '32', expected a number", "quotes"),
        ("encoding.shards", 0, "encoding.shards: found 0, expected at least 1", ""),
        ("seeds", [0, 0], "seeds: 0 is listed twice", "once"),
        ("seeds", [], "at least 1 item", ""),
        ("study", "my study", "lower-case letters", ""),
        ("study", "../../etc", "lower-case letters", ""),
        ("study", None, "missing key study", "add"),
        ("variants.full_hard.triples", "hrd", "variants.full_hard.triples: 'hrd' is not a triple set", "'hard'"),
        ("variants.full_hard.triples", None, "it is trained but names no triple set", "bm25, hard"),
        ("variants.full_hard.start_from", "bse", "'bse' is not a variant", "'base'"),
        ("variants.full_hard.start_from", "full_hard", "comes back to itself", "start from base"),
        (
            "variants.full_hard.lora",
            {"rank": 4},
            "key 'lora' where method is 'full' (it goes with lora)",
            "remove",
        ),
        ("variants.lora_hard.lora", None, "variants.lora_hard: missing key lora", "add"),
        ("variants.base.method", "full", "variants.base.method: found 'full'", "method none"),
        (
            "variants.full_hard.method",
            "none",
            "key 'batch_size' where method is 'none' (it goes with full or lora)",
            "remove",
        ),
        (
            "variants.full_hard.method",
            "fulll",
            "method: found 'fulll', expected one of none, full,",
            "",
        ),
        ("variants.twin", {"method": "none"}, "nothing says how it differs from base", "model"),
        ("variants.base.model", "other", "variants.base.model: found 'other'", "base_model"),
        ("variants.soup", {"method": "mix"}, "variants.soup: missing key of", "add"),
        (
            "variants.soup",
            {"method": "mix", "of": {"base": 0.5, "full_hard": 0.4}},
            "the shares sum to 0.9",
            "full_hard",
        ),
        (
            "variants.soup",
            {"method": "mix", "of": ["base", "full_hrd"]},
            "of: 'full_hrd' is not a variant",
            "full_hard",
        ),
        ("variants.soup", {"method": "mix", "of": ["base", "soup"]}, "soup -> soup comes back to itself", "base"),
        ("variants.soup", {"method": "mix", "of": []}, "variants.soup.of", ""),
        (
            "variants.soup",
            {"method": "mix", "of": ["base"], "triples": "hard"},
            "unknown key 'triples' where method is 'mix'",
            "",
        ),
        ("variants.both", {"method": "fuse", "of": ["base"]}, "expected at least 2 items", ""),
        ("variants.both", {"method": "fuse", "of": ["base", "bm52"]}, "of: 'bm52' is not a variant", ""),
        (
            "variants.words",
            {"method": "bm25", "k": 1},
            "unknown key 'k' where method is 'bm25' (it goes with fuse)",
            "",
        ),
        ("variants.again", {"method": "rerank", "of": "base"}, "variants.again: missing key model", "add"),
        ("variants.again", {"method": "rerank", "of": "bse", "model": "a/b"}, "of: 'bse' is not a variant", "base"),
        (
            "variants.again",
            {"method": "rerank", "of": "again", "model": "a/b"},
            "again -> again comes back to itself",
            "base",
        ),
        (
            "variants.again",
            {"method": "rerank", "of": "base", "model": "a/b", "k": 60},
            "unknown key 'k' where method is 'rerank' (it goes with fuse)",
            "",
        ),
        ("variants.given", {"method": "run", "runs": {"pydocs/test": "a"}}, "there is none for pydocs/unseen", "leave"),
        ("variants.given", {"method": "run", "runs": {"pydocs/tst": "a"}}, "'pydocs/tst' is not a query set", "test"),
        ("variants.e5", {"method": "none", "prompts": {"qery": "query: "}}, "unknown key 'qery'", "spelling"),
        ("variants.base", None, "missing key base", "add"),
        ("primary.split", "tset", "'tset' is not a split", "'test'"),
        ("primary.collection", "pydoc", "'pydoc' is not a collection", "'pydocs'"),
        ("primary.measure", "RR@100", "'RR@100' is not among measures", "add it"),
        ("train_on", ["pydocs", "mine"], "train_on: found ['pydocs', 'mine'], expected string", "of: [a, b]"),
        ("train_on", "pydoc", "train_on: 'pydoc' is not a collection", "'pydocs'"),
        ("collections.pydocs.train", None, "it has no training queries", "collections.pydocs.train"),
        ("collections.pydocs.splits", {"train": "pydocs/test"}, "reserved", ""),
        ("collections.more", {"splits": {"test": "test"}}, "collections.more: missing key corpus", "add"),
        ("collections.more", {"of": ["pydocs"]}, "at least 2 item", ""),
        ("collections.more", {"of": {"pydocs": 1, "mine": 0}}, "more.of.mine: found 0, expected more than 0", ""),
        ("collections.more", {"of": "pydocs"}, "more.of: found 'pydocs', expected array or object", "as a list"),
        ("collections.more", {"of": ["pydocs", "mine"]}, "more.of: 'mine' is not a collection", "pydocs"),
        (
            "collections.more",
            {"of": ["pydocs", "mine"], "text": "untitled"},
            "unknown key 'text' where kind is 'joined' (it goes with source)",
            "spelling",
        ),
        ("collections.pydocs.kind", "joint", "'joint', expected one of source, joined", "of"),
        ("dynamics.split", "valid", "'valid' is not a split of 'pydocs'", "known:"),
        ("primary.split", "dev", "is the split that is watched in training", "another split"),
        ("triples.hard.negatives", "easy", "expected one of random, judged, bm25, hard, published, file", ""),
        (
            "variants.full_hard.schedule",
            "cosin",
            "'cosin', expected one of linear, cosine, inverse_sqrt, constant_with_warmup, constant",
            "get_scheduler",
        ),
        ("variants.full_hard.precision", "fp8", "'fp8', expected one of auto, fp32, bf16, fp16", "GPU"),
        ("variants.full_hard.max_grad_norm", 0, "max_grad_norm: found 0, expected more than 0", "null"),
        ("variants.full_hard.keep", "first", "'first', expected one of last, best", "held out"),
        ("variants.full_hard.keep", "best", "keep: best, but nothing is held out", "held_out: {share: 0.1}"),
        ("variants.full_hard.held_out", {"share": 1}, "share: found 1, expected less than 1", ""),
        ("variants.full_hard.held_out", {"by": "passage"}, "expected one of query, example", ""),
        ("variants.full_hard.held_out", {"of": "queries"}, "'of', known: by, interval, measure, share", "spelling"),
        ("variants.full_hard.held_out", {"share": 0.001}, "0.001 of the 480 examples of 'hard' holds out none", "more"),
        ("variants.full_hard.held_out", {"share": 0.999}, "0.999 of the 480 examples of 'hard' holds out 480", "more"),
        ("base_model_sha256", "abc", "base_model_sha256", ""),
        ("encoding.shards", 2.5, "encoding.shards: found 2.5, expected integer", ""),
        ("encoding.shards", "2e0", "found the text '2e0', expected a number", "write 2.0e+0"),
        ("encoding.shards", True, "encoding.shards: found True, expected integer", ""),
        ("variants.full_hard.learning_rate", float("nan"), "learning_rate: found nan, expected a number", "finite"),
        ("variants.full_hard.epochs", float("inf"), "variants.full_hard.epochs: found inf", "finite"),
        ("seeds", [0, float("inf")], "seeds.1: found inf", "finite"),
        ("collections.pydocs.splits", {False: "pydocs/test"}, "splits: found the key False", "quotes"),
        ("variants", {1: {"method": "none"}}, "variants: found the key 1", "quotes"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(config, schema, path, value, message, hint):
    with pytest.raises(BackfireError) as caught:
        Study(checked(edited(config, path, value), schema))
    text = str(caught.value)
    assert message in text
    assert hint in caught.value.hint
    assert text.splitlines()[-1].startswith("Hint: ")


def test_without_training_queries_every_variant_that_still_trains_is_named(config, schema):
    config["collections"]["pydocs"]["train"] = None
    for name in config["variants"]:
        if name not in ("base", "full_hard"):
            config["variants"][name] = None
    with pytest.raises(BackfireError, match="collections.pydocs: full_hard would be trained on it, but it has no"):
        Study(checked(config, schema))
    config["variants"]["full_hard"] = None
    assert Study(checked(config, schema)).trained == []


def test_a_whole_number_may_have_a_decimal_point_wherever_an_integer_is_expected(config, schema):
    config["protocol"] = {"collection": "pydocs", "split": "test", "max_lengths": [32, 64]}
    config["collections"]["pydocs"]["relevance"] = {"test": 2}
    filled = checked(config, schema)
    numbers = []

    def pointed(value, where):
        if isinstance(value, dict):
            return {key: pointed(each, f"{where}.{key}") for key, each in value.items()}
        if isinstance(value, list):
            return [pointed(each, where) for each in value]
        if type(value) is int:
            numbers.append(where)
            return float(value)
        return value

    def kinds(value):
        if isinstance(value, dict):
            return {key: kinds(each) for key, each in value.items()}
        return [kinds(each) for each in value] if isinstance(value, list) else type(value)

    again = checked(pointed(filled, "config"), schema)
    assert again == filled
    assert {"config.encoding.shards", "config.collections.pydocs.size", "config.protocol.max_lengths"} < set(numbers)
    assert {"config.seeds", "config.collections.pydocs.relevance.test", "config.triples.hard.size"} < set(numbers)
    for block in (*filled["variants"].values(), *again["variants"].values()):
        # Any number will do here, so a float stays one.
        for floating in (block, block.get("lora", {})):
            floating.update({key: 0.0 for key in ("epochs", "alpha", "weight_decay") if key in floating})
    assert kinds(again) == kinds(filled)


def test_every_mistake_is_listed_at_once(config, schema):
    config = edited(edited(config, "ranking.depth", 0), "measure", ["AP"])
    with pytest.raises(BackfireError) as caught:
        checked(config, schema)
    assert "ranking.depth" in str(caught.value)
    assert "unknown key 'measure'" in str(caught.value)


def test_the_recipes_that_the_documentation_spells_out_can_be_written(config, schema, root):
    blocks = re.findall(r"```yaml\n(.*?)```", (root / "docs/recipes.md").read_text(), re.DOTALL)
    several, kept, paper, asked, by_hand = map(yaml.safe_load, blocks)
    offered = Study(checked(copy.deepcopy(config) | asked, schema))
    assert (
        offered.variants["best_mixed"].best_of
        and "best_mixed" not in Study(checked(copy.deepcopy(config), schema)).variants
    )
    own = copy.deepcopy(config)
    own["variants"] |= {"bm25": {"method": "bm25"}, **by_hand["variants"]}
    assert list(Study(checked(own, schema)).choosing) == ["half", "hybrid"]
    joined = Study(checked(copy.deepcopy(config) | several, schema))
    assert joined.watched == ("both", "watched")
    assert joined.collections["both"].shares == pytest.approx({"pydocs": 0.7, "support": 0.3})
    config["variants"]["full_hard"] |= kept
    config["variants"] |= paper
    variants = Study(checked(config, schema)).variants
    assert variants["full_hard"].keeps_best and variants["paper_full_1m"].keeps_best
    # A fifth of a million, looked at after each of five epochs, three times between, and at the start.
    found = variants["paper_full_1m"].course(1_000_000)
    assert (found.held_out, found.steps, found.looks) == (200_000, 3910, 9)


def test_every_key_of_the_schema_is_described(schema):
    def keys(part, where):
        if "$ref" in part:
            part = {**schema["$defs"][part["$ref"].rsplit("/", 1)[1]], **part}
        for name, sub in part.get("properties", {}).items():
            assert "description" in sub or "$ref" in sub, f"{where}.{name}"
            keys(sub, f"{where}.{name}")
        if isinstance(part.get("additionalProperties"), dict):
            keys(part["additionalProperties"], f"{where}.*")

    keys(schema, "config")


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"name": "triplett"}, r"loss\.name: found 'triplett', expected one of triplet, multiple_negatives_ranking"),
        ({"distance": "cosine"}, r"loss: missing key name"),
        ({"name": "triplet", "margn": 1.0}, r"unknown key 'margn', did you mean 'margin'\?"),
        (
            {"name": "triplet", "scale": 20},
            r"unknown key 'scale' where name is 'triplet' .*, known: distance, margin, name, normalize",
        ),
        (
            {"name": "multiple_negatives_ranking", "margin": 1.0},
            r"unknown key 'margin' where name .*, known: directions, name, partition_mode, scale",
        ),
        (
            {"name": "multiple_negatives_ranking", "directions": ["doc_to_doc"]},
            r"found \['doc_to_doc'\], expected query_to_doc among them",
        ),
        ("triplet", r"loss: found 'triplet', expected object"),
    ],
)
def test_a_mistake_within_an_objective_is_answered_with_its_own_keys(config, schema, loss, said):
    with pytest.raises(BackfireError, match=said):
        checked(edited(config, "variants.full_hard.loss", loss), schema)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"name": "triplet", "margin": 5.0}, r"variants\.full_hard\.loss\.margin: found 5, and cosine"),
        (
            {
                "name": "multiple_negatives_ranking",
                "directions": ["query_to_doc", "doc_to_doc"],
                "partition_mode": "per_direction",
            },
            r"partition_mode: per_direction, but doc_to_doc holds no positive",
        ),
    ],
)
def test_settings_of_an_objective_that_do_not_go_together_are_refused(config, schema, loss, said):
    with pytest.raises(BackfireError, match=said):
        Study(checked(edited(config, "variants.full_hard.loss", loss), schema))


@pytest.mark.parametrize(("distance", "margin"), [("cosine", 0.2), ("euclidean", 5.0), ("manhattan", 5.0)])
def test_a_margin_that_is_not_named_is_the_usual_one(config, schema, distance, margin):
    study = Study(checked(edited(config, "variants.full_hard.loss", {"name": "triplet", "distance": distance}), schema))
    assert study.variants["full_hard"].settings["loss"]["margin"] == margin


@pytest.mark.parametrize(
    ("name", "ranks", "said"),
    [
        ("hard", [50, 201], r"triples\.hard\.ranks: found \[50, 201\] with depth 200"),
        ("hard", [9, 8], r"triples\.hard\.ranks: found \[9, 8\]"),
        ("hard", [0, 8], "expected at least 1"),
        ("hard", [50], r"triples\.hard\.ranks: found \[50\], expected at least 2 item"),
    ],
)
def test_ranks_of_negatives_are_a_window_within_the_depth(config, schema, name, ranks, said):
    with pytest.raises(BackfireError, match=said):
        Study(checked(edited(config, f"triples.{name}.ranks", ranks), schema))


def test_random_negatives_have_no_ranks(config, schema):
    config["triples"]["hard"] = {"negatives": "random", "size": 10, "ranks": [1, 5]}
    with pytest.raises(BackfireError, match=r"key 'ranks' where negatives is 'random' \(it goes with bm25 or hard\)"):
        Study(checked(config, schema))


def test_a_variant_is_like_another_with_what_an_overlay_changed_there(config, schema):
    config["variants"]["full_hard"] |= {"max_length": 48, "epochs": 3}
    filled = checked(config, schema)["variants"]
    differ = {key for key in filled["full_hard"] if filled["full_hard"][key] != filled["paper_hard"][key]}
    assert differ == {"loss"} and filled["paper_hard"].keys() == filled["full_hard"].keys()
    assert (filled["paper_hard"]["max_length"], filled["paper_hard"]["loss"]["distance"]) == (48, "euclidean")


def test_a_variant_goes_with_the_one_that_it_is_like_and_that_is_told(config, schema):
    assert left_out(config) == []
    config["variants"]["full_hard"] = None
    assert left_out(config) == ["variants.paper_hard is left out with the variant that it is like, which is removed."]
    assert Study(checked(config, schema)).trained == ["full_bm25", "lora_bm25", "lora_hard"]


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ({"a": {"like": "full_hrd"}}, "variants.a.like: 'full_hrd' is not a variant of this study"),
        ({"a": {"like": "b"}, "b": {"like": "a"}}, "a is like b is like a, which comes back to itself"),
        ({"a": {"like": "a"}}, "a is like a, which comes back"),
        ({"a": {"like": 3, "method": "full"}}, "variants.a.like: found 3, expected string"),
    ],
)
def test_a_variant_that_is_like_nothing_is_refused(config, schema, blocks, said):
    config["variants"] |= blocks
    with pytest.raises(BackfireError, match=said):
        checked(config, schema)


@pytest.mark.parametrize(
    ("overlay", "kind", "gone", "stays"),
    [
        (
            {"triples": {"bm25": {"negatives": "published", "source": "a/b", "size": 5}}},
            "triples.bm25.negatives",
            ["depth", "ranks"],
            {"source": "a/b", "size": 5},
        ),
        ({"triples": {"hard": {"file": "mined.tsv"}}}, "triples.hard.negatives", ["depth"], {"file": "mined.tsv"}),
        ({"triples": {"hard": {"negatives": "random"}}}, "triples.hard.negatives", ["depth"], {"size": 480}),
        (
            {"variants": {"paper_hard": {"loss": {"name": "multiple_negatives_ranking"}}}},
            "variants.paper_hard.loss.name",
            ["margin", "distance", "normalize"],
            {"scale": 20},
        ),
        (
            {"variants": {"lora_hard": {"method": "bm25"}}},
            "variants.lora_hard.method",
            ["lora", "triples"],
            {"k1": 0.9},
        ),
    ],
)
def test_an_overlay_that_changes_the_kind_takes_the_keys_of_the_old_one_away(root, overlay, kind, gone, stays):
    config = merged_config(root, overlay)
    *path, _ = kind.split(".")
    block = config
    for step in path:
        block = block[step]
    assert not set(gone) & block.keys()
    assert {key: block[key] for key in stays} == stays
    Study(config)


def test_a_key_of_another_kind_that_the_overlay_itself_says_is_refused(root):
    message = r"unknown key 'depth' where negatives is 'random' \(it goes with bm25 or hard\)"
    with pytest.raises(BackfireError, match=message):
        merged_config(root, {"triples": {"hard": {"negatives": "random", "depth": 50}}})
    with pytest.raises(BackfireError, match=message):
        merged_config(root, {"triples": {"hard": {"negatives": "random"}}}, {"triples": {"hard": {"depth": 50}}})
