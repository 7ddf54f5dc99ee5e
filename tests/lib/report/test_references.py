"""Published figures: which fit a study, how far they lie from it, and what is wrong with a file of them."""

import copy

import pytest
import yaml
from example_study import example_config

from backfire.encoders.folders import PINS
from backfire.errors import BackfireError
from backfire.report.references import mark, read_figures, reference_table

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
    "figures": [
        {"query_set": "pydocs/test", "model": MODEL, "which": which, "measure": "RR@10"}
        | {"value": value, "tolerance": 0.01, "source": "paper"}
        for which, value in (("base", 0.55), ("worst", 0.41))
    ]
    + [
        {"query_set": "elsewhere", "model": MODEL, "which": "base", "measure": "RR@10"}
        | {"value": 0.3, "tolerance": 0.01, "source": "paper"}
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


def table(path, config, manifests=None, means=MEANS):
    places = [("pydocs", "test"), ("pydocs", "unseen"), ("vaswani", "test")]
    rows = [
        {"collection": collection, "split": split, "measure": "RR@10", "variant": variant, "mean": mean}
        for collection, split in places
        for variant, mean in means.items()
    ]
    manifests = {"pydocs": manifest(), "vaswani": manifest(read=7, kept=2)} | (manifests or {})
    return reference_table(path, config, manifests, rows)


def test_base_and_the_worst_trained_variant_stand_beside_what_was_published(figures, config):
    base, worst = table(figures(), config)
    assert (base["what"], base["place"], base["source"]) == ("base", "pydocs/test", "A paper")
    assert (base["published"], base["found"], base["distance"]) == ("0.55", "0.55500", "+0.00500")
    assert base["mark"] == "OK"
    assert worst["what"] == "worst trained variant (here lora_hard)"
    assert (worst["found"], worst["mark"]) == ("0.45000", "off")


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(0, "OK"), (0.003, "OK"), (0.3056 - 0.3026, "OK"), (-0.00301, "near"), (0.009, "near"), (-0.0091, "off")],
)
def test_marks(distance, expected):
    assert mark(distance, 0.003) == expected


def test_protocols_are_compared_where_both_are_known(figures, config):
    base = table(figures(), config)[0]
    assert base["protocol"] == [
        {"factor": "text", "published": "published", "found": "default", "note": "differs"},
        {"factor": "length", "published": "not stated", "found": "128", "note": ""},
        {"factor": "precision", "published": "fp32", "found": "auto", "note": "may differ"},
    ]
    config["collections"]["pydocs"]["text"] = "published"
    config["encoding"]["precision"] = "fp32"
    assert not any(factor["note"] for factor in table(figures(), config)[0]["protocol"])


def test_nothing_is_shown_for_another_base(figures, config):
    config["base_model_sha256"] = "0" * 64
    assert table(figures(), config) == []
    config["base_model_sha256"] = PINS[MODEL].sha256
    assert len(table(figures(), config)) == 2
    config["base_model"] = "sentence-transformers/all-MiniLM-L12-v2"
    assert table(figures(), config) == []


def test_nothing_is_shown_for_other_or_fewer_passages_and_queries(figures, config):
    for other in (manifest(read=2399), manifest(kept=249)):
        assert table(figures(), config, {"pydocs": other}) == []
    config["collections"]["pydocs"]["size"] = 2400
    assert table(figures(), config) == []
    config["collections"]["pydocs"]["size"] = None
    config["collections"]["pydocs"]["splits"]["test"] = "pydocs/tset"
    assert table(figures(), config) == []


def test_a_folder_is_known_by_its_digests(figures, config):
    same = {"corpus": "c" * 64, "queries": "q" * 64, "read": 500, "kept": 9}
    found = table(figures(), config, {"vaswani": manifest(**same)})
    assert [row["place"] for row in found] == ["pydocs/test", "pydocs/test", "vaswani/test"]
    for key in ("corpus", "queries"):
        assert len(table(figures(), config, {"vaswani": manifest(**same | {key: "x" * 64})})) == 2


def test_a_study_without_training_or_the_measure_has_no_such_row(figures, config):
    assert [row["what"] for row in table(figures(), config, means={"base": 0.5})] == ["base"]
    path = figures(lambda content: content["figures"][0].update(measure="AP"))
    assert [row["what"] for row in table(path, config)] == ["worst trained variant (here lora_hard)"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["figures"][1].update(tolerence=1), r"entry 2: key 'tolerence' is not known.\n.*'tolerance'"),
        (lambda c: c["figures"][0].pop("value"), "entry 1: the key 'value' is missing"),
        (lambda c: c["figures"][0].update(value="0.55"), "entry 1: value is '0.55', expected int or float"),
        (lambda c: c["figures"][0].update(which="best"), "entry 1: which 'best' is not known"),
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
        read_figures(figures(change))


def test_the_figures_that_come_along_are_sound(root):
    figures = read_figures(root / "studies/expected.yaml")
    assert {figure.sha256 for figure in figures} == {PINS[MODEL].sha256}
    assert {(figure.query_set, figure.which, figure.measure, figure.value) for figure in figures} == {
        ("msmarco-passage/dev/small", "base", "RR@10", 0.3026),
        ("msmarco-passage/dev/small", "base", "RR@10", 0.30557),
        ("msmarco-passage/dev/small", "worst", "RR@10", 0.205),
        ("msmarco-passage/trec-dl-2019/judged", "base", "nDCG@10", 0.63685),
        ("beir/scifact/test", "base", "nDCG@10", 0.64508),
        ("beir/nfcorpus/test", "base", "nDCG@10", 0.31594),
        ("beir/fiqa/test", "base", "nDCG@10", 0.36867),
        ("vaswani", "base", "RR@10", 0.67716),
        ("vaswani", "base", "nDCG@10", 0.43351),
        ("vaswani", "base", "R@100", 0.60742),
    }
