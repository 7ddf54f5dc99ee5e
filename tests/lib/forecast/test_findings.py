"""Faults that were planted in a study, one at a time, are found, and a clean study is left alone."""

import dataclasses
from copy import deepcopy

import pytest
import yaml
from example_study import VERDICTS, example_config

from backfire.forecast.findings import CERTAIN, FAULT, GRADES, MEASURED, NOTE, RISK, USUAL, Look, Seen
from backfire.forecast.make import findings
from backfire.forecast.page import page
from backfire.forecast.power import power
from backfire.study.settings import checked
from backfire.study.study import Study

GOOD = Look(128, 0.1, 0.8, 0.4, 2.6, "cosine", 0.0, 0.01)
FACTS = {
    "likely_answer": {"value": 0.01, "judge": "base"},
    "near_duplicate": {"value": 0.0, "judge": "base"},
}
TRIPLET = {"name": "triplet", "distance": "euclidean", "margin": 5.0}


@pytest.fixture(scope="module")
def config(root):
    found = example_config(root, VERDICTS, seeds=3)
    found["base_model"] = "someone/retriever-of-our-own"
    return found


def seen_of(config, root, edit=lambda config: None, **changes):
    """What is seen of a study in which nothing is wrong but what is changed."""
    config = deepcopy(config)
    edit(config)
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))
    study = Study(checked(config, schema))
    spread = [1.0] * 60_000 + [0.0] * 40_000
    clean = {
        "looks": dict.fromkeys(study.trained, GOOD),
        "forensics": {name: deepcopy(FACTS) for name in study.used},
        "cut": dict.fromkeys(study.collections, 0.01),
        "shared": {place: (0, 250) for place in study.evaluations},
        "repeated": dict.fromkeys(study.used, 0.0),
        "examples": dict.fromkeys(study.used, 20_000),
        "power": power(spread, "RR@10", 4, 0.05, 0.005, 0.8),
    }
    return Seen(study=study, **clean | changes)


def variant(**settings):
    return lambda config: config["variants"]["full_hard"].update(settings)


def looked(**changes):
    return {"looks": {"full_hard": dataclasses.replace(GOOD, **changes)}}


def fact(name, value, judge="base"):
    return {"forensics": {"hard": deepcopy(FACTS) | {name: {"value": value, "judge": judge}}}}


def alone(config):
    del config["collections"]["vaswani"]
    del config["collections"]["pydocs"]["splits"]["unseen"]


IN_BATCH = {"name": "multiple_negatives_ranking"}
# What is planted: the check that has to find it, about what, how grave and how sure.
PLANTED = {
    "nothing is active": ("nothing to learn", "variants.full_hard", FAULT, MEASURED, None, looked(active=0.0)),
    "all is known": ("easy negatives", "variants.full_hard", RISK, MEASURED, None, looked(accuracy=0.998, active=0.1)),
    "all is active": (
        "every example active",
        "variants.full_hard.loss.margin",
        RISK,
        MEASURED,
        None,
        looked(active=1.0),
    ),
    "a margin of 5 on unit vectors": (
        *("margin out of reach", "variants.full_hard.loss.margin", FAULT, CERTAIN),
        *(variant(loss=TRIPLET), looked(active=1.0)),
    ),
    "the paper's margin": (
        *("margin asks for length", "variants.full_hard.loss.margin", FAULT, MEASURED),
        *(variant(loss=TRIPLET | {"normalize": False}), looked(active=1.0)),
    ),
    "the paper's metric": (
        *("another metric", "variants.full_hard.loss", FAULT, CERTAIN),
        *(variant(loss=TRIPLET | {"normalize": False, "margin": 0.5}), {}),
    ),
    "texts that are cut in training": (
        *("cut texts", "variants.full_hard.max_length", RISK, MEASURED, None),
        looked(cut_passages=0.4),
    ),
    "passages that are cut in search": (
        "cut texts",
        "encoding.max_length",
        RISK,
        MEASURED,
        None,
        {"cut": {"pydocs": 0.3}},
    ),
    "a rate far too high": (
        "learning rate",
        "variants.full_hard.learning_rate",
        RISK,
        USUAL,
        variant(learning_rate=0.01),
        {},
    ),
    "a rate far too low": (
        "learning rate",
        "variants.full_hard.learning_rate",
        RISK,
        USUAL,
        variant(learning_rate=1e-8),
        {},
    ),
    "too few steps": ("few steps", "variants.full_hard", NOTE, USUAL, None, {"examples": {"hard": 100}}),
    "too many epochs": ("many epochs", "variants.full_hard.epochs", RISK, USUAL, variant(epochs=40), {}),
    "answers in the batch": (
        *("answers in the batch", "variants.full_hard.batch_size", RISK, MEASURED),
        *(variant(loss=IN_BATCH, batch_size=256), {"repeated": {"hard": 0.3}}),
    ),
    "test queries in training": (
        *("queries in training", "collections.pydocs.splits.test", FAULT, MEASURED, None),
        {"shared": {("pydocs", "test"): (40, 250)}},
    ),
    "one test query in training": (
        *("queries in training", "collections.pydocs.splits.test", NOTE, MEASURED, None),
        {"shared": {("pydocs", "test"): (1, 250)}},
    ),
    "likely answers, by base": ("likely answers", "triples.hard", RISK, USUAL, None, fact("likely_answer", 0.2)),
    "likely answers, by a teacher": (
        *("likely answers", "triples.hard", RISK, MEASURED, None),
        fact("likely_answer", 0.2, "teacher"),
    ),
    "the positive's text as a negative": ("twins", "triples.hard", FAULT, MEASURED, None, fact("near_duplicate", 0.02)),
    "a base that has seen the collection": (
        *("seen before", "base_model", RISK, USUAL),
        lambda config: (
            config["collections"]["pydocs"].update(corpus="msmarco-passage"),
            config.update(base_model="sentence-transformers/all-MiniLM-L6-v2"),
        ),
        {},
    ),
    "prompts that are lacking": (
        *("no prompts", "base_model", RISK, USUAL, None),
        {"lacking": {"base": 'prompts: {query: "query: "}'}},
    ),
    "nothing to forget by": ("forgetting unseen", "collections", NOTE, USUAL, alone, {}),
    "one seed": ("one seed", "seeds", NOTE, USUAL, lambda config: config.update(seeds=[0]), {}),
    "few queries": (
        *("few queries", "primary.split", NOTE, USUAL, None),
        {"power": power([1.0, 0.0] * 60, "RR@10", 4, 0.05, 0.005, 0.8)},
    ),
}


def test_a_clean_study_is_left_alone(config, root):
    seen = seen_of(config, root)
    assert findings(seen) == []
    assert "No fault and no risk was found." in page(seen, [])


def test_systems_of_every_kind_are_left_alone(config, root):
    def edit(config):
        places = ("pydocs/test", "pydocs/unseen", "vaswani/test")
        config["variants"]["given"] = {"method": "run", "runs": dict.fromkeys(places, "a.trec")}
        config["variants"]["sorted"] = {"method": "rerank", "of": "bm25", "model": "a/model"}
        config["alternatives"] = "cheap"

    assert findings(seen_of(config, root, edit)) == []


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(config, root, planted):
    check, about, grade, sure, edit, changes = PLANTED[planted]
    seen = seen_of(config, root, edit or (lambda config: None), **changes)
    found = findings(seen)
    # The paper's recipe has two faults that go together.
    beside = {"another metric"} if planted == "the paper's margin" else set()
    assert {each.check for each in found} - beside == {check}
    # A set that two variants train on is told of both.
    one = next(each for each in found if each.about == about)
    assert len(found) <= 2 and (one.check, one.grade, one.sure) == (check, grade, sure)
    text = " ".join(page(seen, found).split())
    assert all(" ".join(part.split()) in text for part in (one.found, one.why, one.remedy))


def test_the_gravest_come_first(config, root):
    changes = looked(active=0.0, cut_passages=0.5) | {"examples": {"hard": 100}}
    grades = [each.grade for each in findings(seen_of(config, root, **changes))]
    assert grades == sorted(grades, key=GRADES.index) and set(grades) == {FAULT, RISK, NOTE}


def test_a_model_of_dot_products_may_train_by_length(config, root):
    edit = variant(loss=TRIPLET | {"normalize": False, "margin": 0.5})
    assert not findings(seen_of(config, root, edit, **looked(similarity="dot")))


def test_a_variant_that_was_not_looked_at_is_named(config, root):
    seen = seen_of(config, root, looks={}, unlooked={"full_hard": "it starts from another"})
    assert "full_hard was not looked at: it starts from another." in page(seen, findings(seen))
