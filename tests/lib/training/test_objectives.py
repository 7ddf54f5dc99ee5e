"""Objectives: each equals the class of sentence-transformers on the same vectors, in value and gradient."""

from itertools import combinations

import pytest
import torch
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses import (
    MultipleNegativesRankingLoss,
    SiameseDistanceMetric,
    TripletDistanceMetric,
    TripletLoss,
)
from sentence_transformers.util import pairwise_dot_score
from torch.nn.functional import normalize

from backfire.errors import BackfireError
from backfire.training.objectives import library, multiple_negatives_ranking, triplet
from backfire.training.objectives.batch import Batch

DIRECTIONS = ["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]


def a_batch(examples=6, negatives=2, known=()):
    """Random vectors of a batch whose texts are all different; `known` (example, text) are relevant as well."""
    generator = torch.Generator().manual_seed(examples)
    vectors = torch.randn(examples * (2 + negatives), 16, generator=generator) * 2
    places = torch.arange(len(vectors)).reshape(2 + negatives, examples).T
    relevant = torch.zeros(examples, len(vectors), dtype=torch.bool)
    relevant[torch.arange(examples), places[:, 1]] = True
    for example, text in known:
        relevant[example, text] = True
    return Batch(vectors.requires_grad_(), places[:, 0], places[:, 1:], relevant)


def assert_equal(build, settings, theirs, batch):
    """Loss and gradient of an objective are those of `theirs`, a function of the batch's vectors."""
    outcome = build(settings)(batch)
    (ours,) = torch.autograd.grad(outcome.loss, batch.vectors)
    expected = theirs(batch)
    (gradient,) = torch.autograd.grad(expected, batch.vectors)
    torch.testing.assert_close(outcome.loss, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours, gradient, rtol=1e-5, atol=1e-6)
    return outcome


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(
    ("distance", "margin", "metric"),
    [
        ("cosine", 0.2, TripletDistanceMetric.COSINE),
        ("euclidean", 5.0, TripletDistanceMetric.EUCLIDEAN),
        ("euclidean", 0.3, TripletDistanceMetric.EUCLIDEAN),
        ("manhattan", 2.0, TripletDistanceMetric.MANHATTAN),
    ],
)
def test_triplet_loss_is_that_of_the_library(distance, margin, metric, unit):
    def theirs(batch):
        vectors = normalize(batch.vectors) if unit else batch.vectors
        columns = [vectors[batch.queries], *(vectors[column] for column in batch.passages.T)]
        return TripletLoss(None, metric, margin).compute_loss_from_embeddings(columns, None)

    settings = {"distance": distance, "margin": margin, "normalize": unit}
    outcome = assert_equal(triplet.build, settings, theirs, a_batch(negatives=1))
    assert outcome.active.shape == (6,)


def test_several_negatives_are_as_many_triplets():
    batch = a_batch(negatives=3)
    settings = {"distance": "cosine", "margin": 0.2, "normalize": True}
    parts = [
        triplet.build(settings)(Batch(batch.vectors, batch.queries, batch.passages[:, [0, column]], batch.known))
        for column in (1, 2, 3)
    ]
    whole = triplet.build(settings)(batch)
    torch.testing.assert_close(whole.loss, torch.stack([part.loss for part in parts]).mean())
    assert torch.equal(whole.active, torch.stack([part.active for part in parts]).any(dim=0))


@pytest.mark.parametrize("ours", ["triplet", "library"])
@pytest.mark.parametrize(("distance", "margin"), [("cosine", 0.2), ("euclidean", 5.0)])
def test_several_negatives_are_the_triplets_that_the_library_is_given_one_by_one(ours, distance, margin):
    """Its class takes one negative; the triplets are written out, example by example."""
    metric = getattr(TripletDistanceMetric, distance.upper())

    def theirs(batch):
        rows = [
            (q, *p[[0, column]]) for q, p in zip(batch.queries, batch.passages, strict=True) for column in (1, 2, 3)
        ]
        columns = [batch.vectors[torch.stack(column)] for column in zip(*rows, strict=True)]
        return TripletLoss(None, metric, margin).compute_loss_from_embeddings(columns, None)

    named = {"distance": distance, "margin": margin, "normalize": False}
    if ours == "library":
        arguments = {"distance_metric": distance.upper(), "triplet_margin": margin}
        named = {"class": "TripletLoss", "arguments": arguments, "normalize": False}
    assert_equal({"triplet": triplet, "library": library}[ours].build, named, theirs, a_batch(negatives=3))


@pytest.mark.parametrize("more", [each for size in range(4) for each in combinations(DIRECTIONS[1:], size)], ids=str)
@pytest.mark.parametrize("mode", ["joint", "per_direction"])
def test_contrastive_loss_is_that_of_the_library(more, mode):
    directions = ["query_to_doc", *more]
    if mode == "per_direction" and {"query_to_query", "doc_to_doc"} & set(more):
        pytest.skip("refused by the library")
    library = MultipleNegativesRankingLoss(None, scale=15.0, directions=directions, partition_mode=mode)

    def theirs(batch):
        columns = [batch.query, *(batch.vectors[column] for column in batch.passages.T)]
        return library.compute_loss_from_embeddings(columns, None)

    settings = {"scale": 15.0, "directions": directions, "partition_mode": mode}
    assert assert_equal(multiple_negatives_ranking.build, settings, theirs, a_batch()).active is None


def test_what_is_known_to_be_relevant_is_no_negative():
    """Against sums that are written out: example 0 knows the positive of example 1 and a negative of example 2."""
    batch = a_batch(examples=3, negatives=1, known=[(0, 4), (0, 8)])
    settings = {"scale": 20.0, "directions": DIRECTIONS, "partition_mode": "joint"}
    loss = multiple_negatives_ranking.build(settings)(batch).loss
    vectors = normalize(batch.vectors.detach().double())
    similar, expected = 20 * vectors @ vectors.T, []
    for example in range(3):
        query, positive, negative = example, 3 + example, 6 + example
        own, others = {positive, negative}, [each for each in range(3) if each != example]
        relevant = {text for text in range(9) if batch.known[example, text]}
        scores = [similar[query, text] for text in range(3, 9) if text == positive or text not in relevant]
        scores += [similar[query, other] for other in others]
        scores += [similar[positive, query]]
        scores += [similar[positive, other] for other in others if not batch.known[other, positive]]
        scores += [similar[positive, text] for text in range(3, 9) if text not in own | relevant]
        expected.append(torch.logsumexp(torch.stack(scores), 0) - similar[query, positive])
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_a_text_that_comes_twice_in_a_batch_is_no_negative_of_itself():
    """Two examples of one query and one positive: nothing is left to contrast them with."""
    vectors = torch.randn(2, 8).requires_grad_()
    places = torch.zeros(2, dtype=torch.int64)
    batch = Batch(vectors, places, torch.ones(2, 1, dtype=torch.int64), torch.tensor([[False, True], [False, True]]))
    settings = {"scale": 20.0, "directions": DIRECTIONS[:2], "partition_mode": "joint"}
    loss = multiple_negatives_ranking.build(settings)(batch).loss
    assert loss.item() == pytest.approx(0, abs=1e-6)


PAIRED = [
    ("CoSENTLoss", {"scale": 15.0}, {"scale": 15.0}),
    ("CoSENTLoss", {"similarity_fct": "pairwise_dot_score"}, {"similarity_fct": pairwise_dot_score}),
    ("AnglELoss", {}, {}),
    ("CosineSimilarityLoss", {}, {}),
    ("ContrastiveLoss", {"margin": 0.3}, {"margin": 0.3}),
    ("ContrastiveLoss", {"distance_metric": "EUCLIDEAN"}, {"distance_metric": SiameseDistanceMetric.EUCLIDEAN}),
    ("OnlineContrastiveLoss", {"distance_metric": "MANHATTAN"}, {"distance_metric": SiameseDistanceMetric.MANHATTAN}),
]


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(("name", "arguments", "theirs"), PAIRED)
def test_a_loss_on_pairs_is_that_of_the_library_on_the_labelled_pairs_of_the_examples(name, arguments, theirs, unit):
    """Each pair is written out: a query with its positive is labelled 1, with each negative 0."""

    def expected(batch):
        vectors = normalize(batch.vectors) if unit else batch.vectors
        pairs = [
            (query, passage, float(place == 0))
            for query, passages in zip(batch.queries, batch.passages, strict=True)
            for place, passage in enumerate(passages)
        ]
        ones, others = (vectors[torch.stack([pair[side] for pair in pairs])] for side in (0, 1))
        loss = getattr(losses, name)(None, **theirs)
        return loss.compute_loss_from_embeddings([ones, others], torch.tensor([label for *_, label in pairs]))

    settings = {"class": name, "arguments": arguments, "normalize": unit}
    assert assert_equal(library.build, settings, expected, a_batch()).active is None


def test_a_loss_on_columns_is_that_of_the_library():
    batch = a_batch(negatives=1)
    settings = {"class": "TripletLoss", "arguments": {"distance_metric": "EUCLIDEAN", "triplet_margin": 3}}
    ours = library.build(settings | {"normalize": False})(batch).loss
    own = triplet.build({"distance": "euclidean", "margin": 3.0, "normalize": False})(batch).loss
    torch.testing.assert_close(ours, own)
    hard = {"hardness_mode": "hard_negatives", "hardness_strength": 5.0}
    settings = {"class": "MultipleNegativesRankingLoss", "arguments": hard, "normalize": True}

    def theirs(batch):
        columns = [batch.query, *(batch.vectors[column] for column in batch.passages.T)]
        return MultipleNegativesRankingLoss(None, **hard).compute_loss_from_embeddings(columns, None)

    assert_equal(library.build, settings, theirs, a_batch())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("CoSENTLoss", {"scal": 20}, "CoSENTLoss takes no 'scal'.*\nHint: did you mean 'scale'"),
        ("CoSENTLoss", {"similarity_fct": "os.system"}, "similarity_fct: found 'os.system'.*\nHint: one of cos_sim,"),
        (
            "ContrastiveLoss",
            {"distance_metric": "euclidean"},
            "'euclidean'.*\nHint: one of COSINE_DISTANCE, EUCL",
        ),
        ("TripletLoss", {"distance_metric": "COSINE_DISTANCE"}, "Hint: one of COSINE, EUCLIDEAN, MANHATTAN"),
        ("MultipleNegativesRankingLoss", {"scale": -1}, "does not accept .*Scale must be a positive value"),
        ("CoSENTLoss", {"model": "x"}, "takes no 'model'"),
    ],
)
def test_arguments_that_a_class_does_not_take_are_refused(name, arguments, said):
    with pytest.raises(BackfireError, match=said):
        library.build({"class": name, "arguments": arguments, "normalize": True})
