"""Which of a study's teachers and rerankers is asked."""

from copy import deepcopy

import pytest
import yaml
from example_study import VERDICTS, example_config

from backfire.provenance.fingerprints import plain
from backfire.study.settings import checked
from backfire.study.study import Study

TEACHER = {"model": "t", "kind": "cross-encoder"}
SORTED = {"method": "rerank", "of": "base", "model": "r", "depth": 5}


@pytest.fixture
def config(root):
    return example_config(root, VERDICTS)


def judge(config, root, teachers=(), variants=()):
    return study_of(config, root, teachers, variants).judge


def study_of(config, root, teachers=(), variants=()):
    config = deepcopy(config)
    for name, teacher in dict(teachers).items():
        config["triples"][name]["teacher"] = teacher
    config["variants"] |= dict(variants)
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))
    return Study(checked(config, schema))


def test_a_study_without_either_has_none(config, root):
    assert judge(config, root) is None


def test_a_cross_encoder_comes_before_a_bi_encoder(config, root):
    bi = {"model": "b", "kind": "bi-encoder"}
    found = judge(config, root, {"hard": bi})
    assert (found.model, found.kind, found.folder, found.max_length) == ("b", "bi-encoder", "teachers/hard", 128)
    found = judge(config, root, {"hard": bi}, {"sorted": SORTED})
    assert (found.model, found.kind, found.folder) == ("r", "cross-encoder", "rerankers/sorted")
    assert found.reranked == ["sorted"] and found.followed == []
    found = judge(config, root, {"bm25": bi, "hard": TEACHER}, {"sorted": SORTED})
    assert (found.model, found.folder, found.reranked) == ("t", "teachers/hard", [])


def test_a_job_asks_the_same_one(config, root):
    """Its parameters have their keys in another order than the file."""
    variants = {"second": SORTED | {"model": "z"}, "first": SORTED | {"model": "a"}}
    for teachers, model in ({}, "a"), ({"hard": TEACHER | {"model": "h"}, "bm25": TEACHER | {"model": "b"}}, "b"):
        study = study_of(config, root, teachers, variants)
        assert study.judge == Study(plain(study.config)).judge and study.judge.model == model


def test_it_is_said_who_follows_it_and_whose_order_is_its_own(config, root):
    variants = {
        "taught": {"method": "full", "triples": "hard", "loss": {"name": "margin_mse"}},
        "sorted": SORTED | {"model": "t"},
    }
    found = judge(config, root, {"hard": TEACHER}, variants)
    assert (found.followed, found.reranked) == (["taught"], ["sorted"])
