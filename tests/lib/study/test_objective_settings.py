"""Objectives in the configuration: sums, what they need, mistakes within their terms, and their words."""

import pytest

from backfire.errors import BackfireError
from backfire.study.objectives import Kind, told

TRIPLET, RANKED, GUIDED, ANCHOR, START = (
    {"name": name} for name in ("triplet", "multiple_negatives_ranking", "gist", "anchor", "l2_sp")
)


def weighted(*terms):
    """The block of a sum of objectives."""
    return {"name": "weighted", "terms": list(terms)}


@pytest.fixture
def variant(study_of):
    """A function that gives a variant with an objective, of a study where it is named `held`."""

    def of(loss):
        return study_of({"variants": {"held": {"method": "full", "triples": "hard", "loss": loss}}}).variants["held"]

    return of


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (GUIDED | {"guide": "some/model"}, r"loss\.guide: 'some/model' is not a variant of this study"),
        (GUIDED | {"guide": "full_hard"}, r"loss\.guide: 'full_hard' is not a model that is taken as it is"),
        (weighted(GUIDED, GUIDED | {"guide": "other"}), r"held\.loss: it is guided by base and other"),
        (START, r"held\.loss: l2_sp alone holds on to the start and teaches nothing"),
        (weighted(START, ANCHOR), r"held\.loss: l2_sp alone holds on"),
        (GUIDED | {"margin": -0.1}, r"loss\.margin: found -0\.1, expected at least 0"),
        ({"name": "weighted"}, r"loss: missing key terms"),
        (weighted(TRIPLET), r"loss\.terms: found .*, expected at least 2 item"),
        (weighted(TRIPLET, {"weight": 2}), r"loss\.terms\.1: missing key name"),
        (weighted(TRIPLET, {"name": "anchr"}), r"loss\.terms\.1\.name: found 'anchr', expected one of triplet"),
        (weighted(TRIPLET, {"name": "weighted"}), r"terms\.1\.name: found 'weighted', expected one of triplet"),
        (weighted(TRIPLET, ANCHOR | {"weight": 0}), r"terms\.1\.weight: found 0, expected more than 0"),
        (
            weighted(TRIPLET, ANCHOR | {"margin": 1}),
            r"loss\.terms\.1: unknown key 'margin' where name is 'anchor' .*, known: name, texts, weight",
        ),
        (weighted(TRIPLET | {"wieght": 1}, ANCHOR), r"loss\.terms\.0: unknown key 'wieght', did you mean 'weight'"),
        (weighted(TRIPLET, {"name": "library", "weight": 2}), r"loss\.terms\.1: missing key class"),
        (weighted("triplet", ANCHOR), r"loss\.terms\.0: found 'triplet', expected object"),
        (weighted(ANCHOR, TRIPLET | {"margin": 5.0}), r"held\.loss\.terms\.1\.margin: found 5, and cosine"),
        (ANCHOR, r"held\.loss: anchor alone holds on to the base(.|\n)*Hint: make it a term"),
        (weighted(ANCHOR, ANCHOR | {"texts": "queries"}), r"held\.loss: anchor alone holds on to the base"),
    ],
)
def test_a_mistake_within_a_sum_is_answered_with_the_keys_of_its_term(variant, loss, said):
    with pytest.raises(BackfireError, match=said):
        variant(loss)


def test_terms_of_a_sum_are_filled_like_objectives_of_their_own(variant):
    terms = weighted(TRIPLET | {"distance": "euclidean", "weight": 2}, GUIDED, ANCHOR)
    first, second, third = variant(terms).settings["loss"]["terms"]
    assert first == {"name": "triplet", "weight": 2, "distance": "euclidean", "margin": 5.0, "normalize": True}
    assert (second["weight"], second["guide"], second["temperature"]) == (1.0, "base", 0.01)
    assert third == {"name": "anchor", "weight": 1.0, "texts": "both"}


def test_a_sum_needs_what_its_terms_need_and_is_computed_by_their_modules(variant):
    def of(loss):
        found = variant(loss)
        return found.objective, found.objectives

    assert of(RANKED) == (Kind(in_batch=True), ["multiple_negatives_ranking"])
    assert of(GUIDED) == (Kind(in_batch=True, guide=True), ["gist"])
    assert of(weighted(ANCHOR, RANKED, ANCHOR)) == (
        Kind(in_batch=True, base=True, holds=True),
        ["weighted", "anchor", "multiple_negatives_ranking"],
    )
    assert of(weighted(TRIPLET, RANKED))[0] == Kind(margin=True, in_batch=True)


def test_weights_are_held_near_the_start_in_a_sum_and_not_for_adapters(study_of):
    held = {"method": "full", "triples": "hard", "loss": weighted(TRIPLET, START | {"weight": 0.01})}
    variant = study_of({"variants": {"held": held}}).variants["held"]
    assert variant.objective == Kind(margin=True, start=True) and variant.guide is None
    assert told(variant.settings["loss"]).endswith(
        "0.01 times the squared distance of the weights from those of the start, halved (L2-SP)"
    )
    adapted = held | {"method": "lora", "lora": {"rank": 4}}
    with pytest.raises(BackfireError, match=r"held\.loss: l2_sp holds weights (.|\n)*Hint: set weight_decay"):
        study_of({"variants": {"held": adapted}})


def test_another_model_may_guide(study_of):
    loss = weighted(GUIDED | {"guide": "large"}, ANCHOR)
    variants = {"large": {"method": "none", "model": "a/model"}, "held": {"method": "full", "triples": "hard"}}
    study = study_of({"variants": variants | {"held": variants["held"] | {"loss": loss}}})
    held = study.variants["held"]
    assert held.guide == "large" and held.objective == Kind(in_batch=True, guide=True, base=True, holds=True)
    assert "what large finds more similar" in told(held.settings["loss"])


def test_an_objective_is_told_in_words_with_all_that_it_adds_up(variant):
    def of(loss):
        return told(variant(loss).settings["loss"])

    assert of(weighted(TRIPLET, ANCHOR | {"weight": 0.1, "texts": "passages"})) == (
        "sum of 1 times the triplet loss on cosine similarity at margin 0.2 and 0.1 times the distance from the base's "
        "vectors (anchor, one minus the cosine, of passages)"
    )
    assert of(GUIDED).endswith(
        "(GISTEmbed, temperature 0.01, queries and positives against each other as well; what the base finds more "
        "similar than a query and its positive is no negative)"
    )
    assert "positive less 5 % is no negative" in of(GUIDED | {"margin": 0.05, "margin_strategy": "relative"})
    assert "positive less 0.1 is no negative" in of(GUIDED | {"margin": 0.1, "contrast_anchors": False})


def test_what_follows_a_teacher_needs_one_in_its_triples(study_of):
    taught = {"method": "full", "triples": "hard", "loss": {"name": "margin_mse"}}
    held = taught | {"loss": weighted({"name": "distill_kl_div"}, TRIPLET)}
    teacher = {"triples": {"hard": {"teacher": {"model": "a/cross-encoder"}}}}
    for block in (taught, held):
        with pytest.raises(BackfireError, match=r"variants\.taught\.loss: .* triples\.hard names no teacher") as caught:
            study_of({"variants": {"taught": block}})
        assert "triples.hard.teacher: {model: cross-encoder/" in str(caught.value)
        study = study_of({"variants": {"taught": block}}, teacher)
        assert study.variants["taught"].objective.teacher and study.taught_by == ["hard"]
    assert study.teacher_length("hard") is None
    assert study.triples["hard"].teacher_source == {
        "name": "a/cross-encoder", "sha256": None, "where": "triples.hard.teacher.model",
    }  # fmt: skip
    other = {"triples": {"hard": {"teacher": {"model": "a/model", "kind": "bi-encoder"}}}}
    assert study_of(other).teacher_length("hard") == study.config["encoding"]["max_length"]
    loss = study.variants["taught"].settings["loss"]["terms"][0]
    assert told(loss) == (
        "Kullback-Leibler divergence from the teacher's distribution over an example's passages (cosine similarity "
        "times 20, temperature 1)"
    )
