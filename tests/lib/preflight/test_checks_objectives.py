"""Objectives that compare with the base, where its vectors are not those to compare with."""

import pytest

from backfire.errors import BackfireError
from backfire.preflight.before import check_study
from backfire.preflight.objectives import check_objectives

HELD = {"name": "weighted", "terms": [{"name": "triplet"}, {"name": "anchor", "weight": 0.1}]}


@pytest.fixture
def lines(study_of):
    """A function that gives the lines on a study with a variant `held` of these settings."""

    def of(settings, **others):
        variants = others | {"held": {"method": "full", "triples": "hard"} | settings}
        return check_objectives(study_of({"variants": variants, "encoding": {"max_length": 128}}))

    return of


def test_another_length_than_that_of_the_bases_vectors_is_told(lines):
    for loss in (HELD, {"name": "gist"}):
        assert lines({"loss": loss, "max_length": 128}) == []
        (line,) = lines({"loss": loss, "max_length": 64})
        assert line.startswith("variants.held.loss: ") and "cut at 128 tokens" in line and "cut at 64" in line
    assert lines({"loss": {"name": "triplet"}, "max_length": 64}) == []


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"method": "none", "model": "some/model"}, "'held' descends from 'start', of 'some/model', whose"),
        ({"method": "none", "prompts": {"query": "q: "}}, "'start', which puts other prompts before"),
    ],
)
def test_what_is_not_of_the_bases_space_and_prompts_is_not_held_near_it(lines, start, said):
    settings = {"loss": HELD, "start_from": "start", "max_length": 128}
    with pytest.raises(BackfireError, match=f"variants.held.loss: anchor holds .*{said}(.|\n)*Hint: start from"):
        lines(settings, start=start)
    # A guide only says what is similar, in any space.
    assert lines(settings | {"loss": {"name": "gist"}}, start=start) == []
    assert lines(settings, start={"method": "none", "similarity": "dot"}) == []
    assert lines(settings, start={"method": "full", "triples": "bm25", "start_from": "base"}) == []


def test_what_is_wrong_with_a_variant_of_a_ladder_is_told_as_the_ladders(study_of):
    variants = {
        "asked": {"method": "none", "prompts": {"query": "q: "}},
        "held": {"like": "full_hard", "loss": HELD, "max_length": 128},
        "far": {"like": "full_hard", "start_from": "asked", "max_length": 128},
    }
    ladder = {"from": "held", "to": "far", "factors": {"loss": ["loss"], "start": ["start_from"]}}
    study = study_of({"variants": variants, "encoding": {"max_length": 128}, "ladder": ladder})
    with pytest.raises(
        BackfireError, match="'held--start' is a variant that the ladder makes, with start of 'far'"
    ) as told:
        check_study(study)
    assert "variants.held--start.loss: anchor holds" in told.value.message
    assert "put settings that only go together into one factor" in told.value.hint
