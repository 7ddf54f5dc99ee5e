"""Published figures: which fit a study, how far they lie from it, and what is wrong with a file of them."""

import copy

import pytest
import yaml
from example_study import example_config

from backfire.encoders.folders import PINS
from backfire.errors import BackfireError
from backfire.report.curves import Curve, Ends
from backfire.report.numbers import MISSING
from backfire.report.published import read_published
from backfire.report.references import mark, reference_table
from merged import merged_config

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FIGURES = {
    "models": {MODEL: PINS[MODEL].sha256},
    "query_sets": {
        "pydocs/test": {"passages": 2400, "queries": 250},
        "elsewhere": {"passages": 500, "queries": 9, "corpus_digest": "c" * 64, "queries_digest": "q" * 64},
    },
    "sources": {
        "paper": {"name": "A paper", "protocol": {"text": "published", "max_length": None, "precision": "fp32"}}
    },
    "variants": {
        "theirs": {
            "corpus": "pydocs",
            "triples": {"negatives": "hard"},
            "settings": {"method": "full", "loss": {"distance": "cosine", "margin": 0.2}},
        }
    },
    "figures": [
        {"query_set": query_set, "model": MODEL, "variant": variant, "measure": "RR@10"}
        | {"value": value, "tolerance": 0.01, "source": "paper"}
        for query_set, variant, value in (
            ("pydocs/test", "base", 0.55),
            ("pydocs/test", "theirs", 0.41),
            ("elsewhere", "base", 0.3),
        )
    ],
    "trainings": [
        {"model": MODEL, "variant": "theirs", "quantity": quantity}
        | {"value": value, "tolerance": 0.01, "source": "paper"}
        for quantity, value in (("train_loss", 0.1), ("held_out_accuracy", 0.9))
    ],
    "not_compared": [
        {"model": MODEL, "variant": "theirs", "corpus": "pydocs", "quantity": "seconds for 10,000 queries"}
        | {"value": 303.9, "because": "it holds the search", "source": "paper"}
    ],
}
MEANS = {"base": 0.555, "full_bm25": 0.6, "lora_hard": 0.45, "full_hard": 0.5}


@pytest.fixture
def config(root):
    return example_config(root, {name: "HARMS" for name in MEANS if name != "base"})


@pytest.fixture
def figures(tmp_path):
    """A function that writes a file of figures, changed by `change`."""

    def write(change=lambda content: None):
        content = copy.deepcopy(FIGURES)
        change(content)
        (tmp_path / "expected.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / "expected.yaml"

    return write


def manifest(corpus="a" * 64, queries="b" * 64, read=2400, kept=250):
    return {
        "corpus": {"read": read, "kept": read, "digest": corpus},
        "splits": {split: {"queries": {"kept": kept}, "digest": queries} for split in ("dev", "test", "unseen")},
    }


def curve(variant, seed, loss, accuracy):
    return Curve(variant, seed, 100, loss and Ends(0.5, 0.0, loss, 0.0, 10), None, 0.1, {}, "the last step", accuracy)


CURVES = [curve("full_bm25", 0, 0.4, None), curve("full_hard", 0, 0.1, 0.85), curve("full_hard", 1, 0.12, 0.87)]


def table(path, config, manifests=None, means=MEANS, curves=CURVES):
    places = [("pydocs", "test"), ("pydocs", "unseen"), ("vaswani", "test")]
    rows = [
        {"collection": collection, "split": split, "measure": "RR@10", "variant": variant, "mean": mean}
        for collection, split in places
        for variant, mean in means.items()
    ]
    manifests = {"pydocs": manifest(), "vaswani": manifest(read=7, kept=2)} | (manifests or {})
    return reference_table(path, config, manifests, rows, curves)


def test_base_and_what_was_trained_by_the_same_recipe_stand_beside_what_was_published(figures, config):
    base, trained = table(figures(), config)[:2]
    assert (base["what"], base["place"], base["source"]) == ("base", "pydocs/test", "A paper")
    assert (base["published"], base["found"], base["distance"]) == ("0.55", "0.55500", "+0.00500")
    assert base["mark"] == "OK"
    assert (trained["what"], trained["measure"]) == ("full_hard (there theirs)", "RR@10")
    assert (trained["found"], trained["mark"]) == ("0.50000", "off")


def test_of_a_training_loss_and_accuracy_are_means_over_seeds(figures, config):
    loss, accuracy = table(figures(), config)[2:4]
    assert (loss["what"], loss["measure"], loss["place"]) == ("full_hard (there theirs)", "final train loss", "pydocs")
    assert (loss["published"], loss["found"], loss["distance"], loss["mark"]) == ("0.1", "0.1100", "+0.0100", "OK")
    assert loss["notes"] == [{"text": "taken as: not stated, here mean of the last 10 steps", "differs": False}]
    assert (accuracy["measure"], accuracy["found"], accuracy["mark"]) == ("triplet accuracy", "0.8600", "off")
    nothing = table(figures(), config, curves=[curve("full_hard", 0, None, None)])
    assert [row["measure"] for row in nothing] == ["RR@10", "RR@10", "seconds for 10,000 queries"]


def test_what_is_another_quantity_is_shown_and_not_compared(figures, config):
    row = table(figures(), config)[4]
    assert (row["what"], row["measure"], row["place"]) == (
        "full_hard (there theirs)",
        "seconds for 10,000 queries",
        "pydocs",
    )
    assert (row["published"], row["found"], row["distance"], row["mark"]) == ("303.9", MISSING, MISSING, None)
    assert row["notes"] == [{"text": "not compared: it holds the search", "differs": False}]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("variants.full_hard.loss.margin", 0.3),
        ("variants.full_hard.start_from", "full_bm25"),
        ("triples.hard.negatives", "random"),
        ("collections.pydocs.corpus", "other"),
    ],
)
def test_another_recipe_has_no_figure_of_that_one(figures, config, key, value):
    *path, last = key.split(".")
    block = config
    for step in path:
        block = block[step]
    block[last] = value
    assert {row["what"] for row in table(figures(), config)} == {"base"}


def test_every_variant_of_the_same_recipe_has_a_row(figures, config):
    config["variants"]["full_bm25"]["triples"] = "hard"
    rows = [row["what"] for row in table(figures(), config) if row["measure"] == "RR@10"]
    assert rows == ["base", "full_bm25 (there theirs)", "full_hard (there theirs)"]


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(0, "OK"), (0.003, "OK"), (0.3056 - 0.3026, "OK"), (-0.00301, "near"), (0.009, "near"), (-0.0091, "off")],
)
def test_marks(distance, expected):
    assert mark(distance, 0.003) == expected


def test_protocols_are_compared_where_both_are_known(figures, config):
    base = table(figures(), config)[0]
    assert base["notes"] == [
        {"text": "text: published, here default (differs)", "differs": True},
        {"text": "length: not stated, here 128", "differs": False},
        {"text": "precision: fp32, here auto (may differ)", "differs": True},
    ]
    config["collections"]["pydocs"]["text"] = "published"
    config["encoding"]["precision"] = "fp32"
    assert not any(note["differs"] for note in table(figures(), config)[0]["notes"])


def test_nothing_is_shown_for_another_base(figures, config):
    config["base_model_sha256"] = "0" * 64
    assert table(figures(), config) == []
    config["base_model_sha256"] = PINS[MODEL].sha256
    assert len(table(figures(), config)) == 5
    config["base_model"] = "sentence-transformers/all-MiniLM-L12-v2"
    assert table(figures(), config) == []


def test_nothing_is_shown_for_other_or_fewer_passages_and_queries(figures, config):
    # What is said of a training is of another data set than the one that is judged on.
    for other in (manifest(read=2399), manifest(kept=249)):
        assert not [row for row in table(figures(), config, {"pydocs": other}) if row["measure"] == "RR@10"]
    config["collections"]["pydocs"]["size"] = 2400
    assert table(figures(), config) == []
    config["collections"]["pydocs"]["size"] = None
    config["collections"]["pydocs"]["splits"]["test"] = "pydocs/tset"
    assert not [row for row in table(figures(), config) if row["measure"] == "RR@10"]


def test_a_folder_is_known_by_its_digests(figures, config):
    same = {"corpus": "c" * 64, "queries": "q" * 64, "read": 500, "kept": 9}
    found = table(figures(), config, {"vaswani": manifest(**same)})
    assert [row["place"] for row in found if "/" in row["place"]] == ["pydocs/test", "pydocs/test", "vaswani/test"]
    for key in ("corpus", "queries"):
        found = table(figures(), config, {"vaswani": manifest(**same | {key: "x" * 64})})
        assert [row["place"] for row in found if "/" in row["place"]] == ["pydocs/test", "pydocs/test"]


def test_a_study_without_the_measure_or_the_training_has_no_such_row(figures, config):
    path = figures(lambda content: content["figures"][0].update(measure="AP"))
    assert [row["what"] for row in table(path, config) if row["measure"] == "RR@10"] == ["full_hard (there theirs)"]
    config["variants"] = {"base": config["variants"]["base"]}
    assert [row["what"] for row in table(figures(), config, means={"base": 0.5}, curves=[])] == ["base"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["figures"][1].update(tolerence=1), r"entry 2: key 'tolerence' is not known.\n.*'tolerance'"),
        (lambda c: c["figures"][0].pop("value"), "entry 1: the key 'value' is missing"),
        (lambda c: c["figures"][0].update(value="0.55"), "entry 1: value is '0.55', expected int or float"),
        (
            lambda c: c["figures"][0].update(variant="thiers"),
            "variant 'thiers' is not known.\nHint: did you mean 'theirs'",
        ),
        (lambda c: c["trainings"][0].update(variant="base"), "trainings, entry 1: base is not trained"),
        (
            lambda c: c["trainings"][1].update(quantity="accuracy"),
            "trainings, entry 2: quantity 'accuracy' is not known",
        ),
        (lambda c: c["not_compared"][0].pop("because"), "not_compared, entry 1: the key 'because' is missing"),
        (lambda c: c["variants"]["theirs"].pop("corpus"), "variants.theirs: the key 'corpus' is missing"),
        (lambda c: c["figures"][0].update(tolerance=0), "entry 1: tolerance is 0"),
        (lambda c: c["figures"][0].update(source="papr"), "source 'papr' is not known.\nHint: did you mean 'paper'"),
        (lambda c: c["figures"][0].update(model="other"), "model 'other' is not known"),
        (lambda c: c["figures"][0].update(query_set="pydocs/tst"), "did you mean 'pydocs/test'"),
        (lambda c: c["sources"]["paper"]["protocol"].update(length=9), r"sources.paper.protocol: key 'length'"),
        (lambda c: c["query_sets"].update(other=3), "query_sets.other: found 3, expected a block"),
        (lambda c: c.pop("sources"), "top level: the key 'sources' is missing"),
        (lambda c: c.clear(), "top level: the key 'models' is missing"),
    ],
)
def test_a_file_that_is_wrong_is_refused(figures, change, message):
    with pytest.raises(BackfireError, match=message):
        read_published(figures(change))


def test_the_figures_that_come_along_are_sound(root):
    published = read_published(root / "studies/expected.yaml")
    assert {each.sha256 for each in published} == {PINS[MODEL].sha256}
    paper = {
        "base": {"RR@10": 0.3026, "RR@100": 0.3144, "seconds for 10,000 queries": 303.9},
        "paper_full_1m": {"RR@10": 0.2619, "RR@100": 0.2723, "seconds for 10,000 queries": 324.9}
        | {"train_loss": 0.79, "held_out_accuracy": 0.97},
        "paper_full_hard": {"RR@10": 0.2536, "RR@100": 0.2632, "seconds for 10,000 queries": 307.5}
        | {"train_loss": 2.26, "held_out_accuracy": 0.84},
        "paper_lora_1m": {"RR@10": 0.2557, "RR@100": 0.2664, "seconds for 10,000 queries": 574.9}
        | {"train_loss": 1.42, "held_out_accuracy": 0.95},
        "paper_lora_hard": {"RR@10": 0.205, "RR@100": 0.2149, "seconds for 10,000 queries": 598.7}
        | {"train_loss": 3.1, "held_out_accuracy": 0.78},
    }
    found: dict[str, dict[str, float]] = {}
    for each in published:
        if "2506.18535" in each.source:
            found.setdefault(each.variant, {})[getattr(each, "measure", None) or each.quantity] = each.value
    assert found == paper
    others = {(each.query_set, each.measure, each.value) for each in published if "2506.18535" not in each.source}
    assert others == {
        ("msmarco-passage/dev/small", "RR@10", 0.30557),
        ("msmarco-passage/trec-dl-2019/judged", "nDCG@10", 0.63685),
        ("beir/scifact/test", "nDCG@10", 0.64508),
        ("beir/nfcorpus/test", "nDCG@10", 0.31594),
        ("beir/fiqa/test", "nDCG@10", 0.36867),
        ("vaswani", "RR@10", 0.67716),
        ("vaswani", "nDCG@10", 0.43351),
        ("vaswani", "R@100", 0.60742),
    }


def test_the_papers_study_has_each_published_recipe_under_its_name(root):
    """As the study is merged and filled in; with one row for each figure."""
    config = merged_config(root, "studies/msmarco.yaml")
    sizes = {"dev_small": 6980, "dl19": 43, "dl20": 54}
    manifests = {name: manifest() for name in config["collections"]} | {"msmarco": manifest(read=8841823)}
    manifests["msmarco"]["splits"] = {
        name: {"queries": {"kept": count}, "digest": "b" * 64} for name, count in sizes.items()
    }
    trained = [name for name, block in config["variants"].items() if block["method"] != "none"]
    rows = [
        {"collection": "msmarco", "split": "dev_small", "measure": measure, "variant": name, "mean": 0.3}
        for name in ("base", *trained)
        for measure in config["measures"]
    ]
    curves = [curve(name, 0, 1.0, 0.9) for name in trained]
    found = [
        row
        for row in reference_table(root / "studies/expected.yaml", config, manifests, rows, curves)
        if "2506.18535" in row["source"]
    ]
    # Two measures and a time of five, loss and accuracy of four.
    assert len(found) == 3 * 5 + 2 * 4
    assert {row["what"] for row in found} == {
        "base",
        "paper_full_1m",
        "paper_full_hard",
        "paper_lora_1m",
        "paper_lora_hard",
    }


def test_the_documentation_shows_the_recipe_of_the_study(root):
    text = (root / "docs/recipes.md").read_text()
    shown = yaml.safe_load(text.split("```yaml\npaper_full_1m:")[1].split("```")[0])
    assert shown == yaml.safe_load((root / "studies/msmarco.yaml").read_text())["variants"]["paper_full_1m"]
