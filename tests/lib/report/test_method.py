"""The method in words: texts, grades and triples of studies that are not the default one."""

from example_study import Example, example_config

from backfire.formats.atomic import read_json
from backfire.report.method import method_paragraphs, recipe


def paragraphs(tmp_path, config):
    manifests = {name: read_json(path) for name, path in Example(tmp_path).manifests().items()}
    return dict(method_paragraphs(config, list(config["variants"]), manifests))


def test_grades_are_told_for_the_splits_that_have_them(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS"})
    assert "as relevant" not in paragraphs(tmp_path, config)["Measures and tests"]
    config["collections"]["pydocs"]["relevance"] = {"test": 2, "unseen": 2}
    config["collections"]["vaswani"]["relevance"] = {"test": 3}
    told = paragraphs(tmp_path, config)["Measures and tests"]
    assert "On pydocs/test and pydocs/unseen, RR@10, R@100 and AP count grade 2 and above as relevant" in told
    assert "On vaswani/test, RR@10, R@100 and AP count grade 3 and above" in told
    assert told.count("nDCG@10 does not depend on it.") == 2


def test_the_text_of_every_collection_is_told(tmp_path, root):
    told = paragraphs(tmp_path, example_config(root, {}))["Data"]
    assert told.count("Text of a passage: default. The text of ") == 2


def test_published_triples_and_triples_for_every_query(tmp_path, root):
    config = example_config(root, {"full_hard": "HARMS", "full_bm25": "HARMS"})
    config["triples"]["bm25"] |= {"negatives": "published", "source": "msmarco/triples", "size": 1000000}
    config["triples"]["hard"] |= {"size": None}
    told = paragraphs(tmp_path, config)["Negatives"]
    assert "'bm25' holds 1,000,000 triples" in told and "those of the published triples msmarco/triples." in told
    assert "'hard' holds one triple per training query" in told
    line = recipe(config["variants"]["full_hard"], config["triples"])
    assert line.startswith("full fine-tuning on one triple per training query with hard negatives")
