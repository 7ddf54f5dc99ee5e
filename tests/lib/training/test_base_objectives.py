"""Objectives that compare with the base's vectors, and sums of objectives, against sentence-transformers' classes."""

from itertools import product

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, EmbedDistillLoss, GISTEmbedLoss
from torch import nn
from torch.nn.functional import normalize

from backfire.errors import BackfireError
from backfire.formats.embeddings import write_embeddings
from backfire.training.model_vectors import ModelVectors
from backfire.training.objectives import anchor, gist, multiple_negatives_ranking, triplet, weighted
from backfire.training.objectives.batch import Batch

GIST = {
    "temperature": 0.05,
    "margin_strategy": "absolute",
    "margin": 0.0,
    "contrast_anchors": True,
    "contrast_positives": True,
}
TRIPLET = {"name": "triplet", "distance": "cosine", "margin": 0.2, "normalize": True}
RANKING = {
    "name": "multiple_negatives_ranking",
    "scale": 20.0,
    "directions": ["query_to_doc"],
    "partition_mode": "joint",
}


def a_batch(examples=8, negatives=1, alike=2.0, known=()):
    """Random vectors of a batch and other ones of the base; queries are `alike` their positives, to some degree."""
    generator = torch.Generator().manual_seed(examples + negatives)
    texts = examples * (2 + negatives)
    vectors, base = (torch.randn(texts, size, generator=generator) * 2 for size in (16, 12))
    base[:examples] += alike * base[examples : 2 * examples]
    places = torch.arange(texts).reshape(2 + negatives, examples).T
    relevant = torch.zeros(examples, texts, dtype=torch.bool)
    relevant[torch.arange(examples), places[:, 1]] = True
    for example, text in known:
        relevant[example, text] = True
    return Batch(vectors.requires_grad_(), places[:, 0], places[:, 1:], relevant, base, base)


def assert_equal(outcome, expected, batch):
    """Loss and gradient are those of the `expected` loss of the same vectors."""
    gradients = [torch.autograd.grad(loss, batch.vectors)[0] for loss in (outcome.loss, expected)]
    torch.testing.assert_close(outcome.loss, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


class Given(nn.Module):
    """Vectors in place of a model: features are rows of them."""

    def __init__(self, vectors, tokenizer):
        super().__init__()
        self.vectors, self.tokenizer, self.max_seq_length = vectors, tokenizer, 16
        self.add_module("0", nn.Identity())

    def __getitem__(self, place):
        return self.get_submodule(str(place))

    def forward(self, features, **more):
        return {"sentence_embedding": self.vectors[features["input_ids"][:, 0]]}


@pytest.fixture(scope="module")
def tokenizer(base_model):
    return SentenceTransformer(str(base_model), device="cpu").tokenizer


def guided(kind, settings, batch, tokenizer):
    """The library's loss, with `kind` its class, where model and guide give the batch's vectors."""
    model, guide = Given(batch.vectors, tokenizer), Given(batch.guide, tokenizer)
    loss = kind(model, guide, **settings)
    columns = [batch.queries, *batch.passages.T]
    features = [{"input_ids": rows.unsqueeze(1), "attention_mask": torch.ones(len(rows), 1)} for rows in columns]
    if kind is GISTEmbedLoss:
        return loss(features, None)
    # Its own forward sends the gradient back at once, so the part that computes the loss is called.
    of = [[[each.vectors[rows]] for rows in columns] for each in (model, guide)]
    return loss.calculate_loss(*of)


@pytest.mark.parametrize(("strategy", "margin"), [("absolute", 0.0), ("absolute", 0.3), ("relative", 0.2)])
@pytest.mark.parametrize(("anchors", "positives"), list(product([True, False], repeat=2)))
@pytest.mark.parametrize("negatives", [1, 3])
def test_guided_loss_is_that_of_the_library(tokenizer, strategy, margin, anchors, positives, negatives):
    settings = GIST | {
        "margin_strategy": strategy,
        "margin": margin,
        "contrast_anchors": anchors,
        "contrast_positives": positives,
    }
    batch = a_batch(negatives=negatives, alike=0.5)
    for kind in (CachedGISTEmbedLoss, *([GISTEmbedLoss] if negatives == 1 else [])):
        outcome = gist.build(settings)(batch)
        assert_equal(outcome, guided(kind, settings, batch, tokenizer), batch)
        assert outcome.active is None


def test_the_guide_leaves_out_what_it_finds_nearer_than_the_positive(tokenizer):
    """With a guide that sees nothing like the positive, the same vectors have another loss."""
    near, far = a_batch(alike=3.0), a_batch(alike=0.0)
    assert torch.equal(near.vectors, far.vectors)
    losses = [gist.build(GIST)(batch).loss.item() for batch in (near, far)]
    assert losses[1] < losses[0]
    wide = GIST | {"margin": 2.0}
    assert gist.build(wide)(near).loss.item() == pytest.approx(0, abs=1e-6), "nothing is left but the positive"


def test_what_is_known_to_be_relevant_is_no_negative_whatever_the_guide_says():
    batch = a_batch(examples=3, alike=50.0, known=[(0, 4), (1, 8)])
    loss = gist.build(GIST)(batch).loss
    unit = normalize(batch.vectors.detach().double())
    scores, expected = unit @ unit.T / GIST["temperature"], []
    for example in range(3):
        query, positive = example, 3 + example
        left = [text for text in range(3, 9) if text == positive or not batch.known[example, text]]
        named = [scores[query, text] for text in left]
        named += [scores[query, other] for other in range(3) if other != query]
        named += [scores[positive, text] for text in range(3, 6) if text != positive and text in left]
        expected.append(torch.logsumexp(torch.stack(named), 0) - scores[query, positive])
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_a_text_that_comes_twice_is_no_negative_of_itself_though_the_guide_sees_no_difference():
    """Two examples of one query, whose positive the guide finds as near as the query itself."""
    vectors, base = torch.randn(2, 8).requires_grad_(), torch.ones(2, 4)
    places = torch.zeros(2, dtype=torch.int64)
    known = torch.tensor([[False, True], [False, True]])
    batch = Batch(vectors, places, torch.ones(2, 1, dtype=torch.int64), known, guide=base)
    assert gist.build(GIST)(batch).loss.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("held", "rows"), [("both", range(24)), ("queries", range(8)), ("passages", range(8, 24))])
def test_anchor_is_the_distillation_of_the_library_with_the_base_as_teacher(held, rows):
    batch = a_batch()
    batch = Batch(batch.vectors, batch.queries, batch.passages, batch.known, torch.randn(24, 16))
    rows = torch.tensor(rows)
    theirs = EmbedDistillLoss(None, "cosine").compute_loss_from_embeddings([batch.vectors[rows]], [batch.base[rows]])
    outcome = anchor.build({"texts": held})(batch)
    assert_equal(outcome, theirs, batch)
    assert outcome.active is None


def test_anchor_is_zero_on_the_bases_own_vectors_whatever_their_length_and_counts_a_text_once():
    batch = a_batch()
    held = Batch(batch.vectors, batch.queries, batch.passages, batch.known, 3 * batch.vectors.detach())
    loss = anchor.build({"texts": "both"})(held).loss
    (gradient,) = torch.autograd.grad(loss, batch.vectors)
    assert loss.item() == pytest.approx(0, abs=1e-6) and gradient.abs().max() < 1e-6
    base = torch.randn(24, 16)
    twice = torch.zeros_like(batch.queries)
    same = Batch(batch.vectors, twice, batch.passages, batch.known, base)
    one = (1 - torch.cosine_similarity(batch.vectors[:1], base[:1])).mean()
    torch.testing.assert_close(anchor.build({"texts": "queries"})(same).loss, one)


def test_a_weighted_sum_is_the_sum_of_its_terms_and_says_them_by_name():
    batch = a_batch(negatives=2)
    batch = Batch(batch.vectors, batch.queries, batch.passages, batch.known, torch.randn(len(batch.vectors), 16))
    loose = TRIPLET | {"margin": 0.9}
    sum_of = [(0.5, RANKING), (2.0, TRIPLET), (0.25, loose), (0.1, {"name": "anchor", "texts": "both"})]
    outcome = weighted.build({"terms": [{"weight": weight, **term} for weight, term in sum_of]})(batch)
    modules = {"triplet": triplet, "anchor": anchor, "multiple_negatives_ranking": multiple_negatives_ranking}
    parts = [modules[term["name"]].build(term)(batch) for _, term in sum_of]
    assert_equal(outcome, sum(weight * part.loss for (weight, _), part in zip(sum_of, parts, strict=True)), batch)
    assert list(outcome.terms) == ["multiple_negatives_ranking", "triplet", "triplet_2", "anchor"]
    for part, term in zip(parts, outcome.terms.values(), strict=True):
        assert torch.equal(part.loss.detach(), term) and not term.requires_grad
    assert torch.equal(outcome.active, parts[1].active | parts[2].active)
    assert weighted.build({"terms": [{"weight": 1.0, **RANKING}, {"weight": 1.0, **RANKING}]})(batch).active is None


def test_the_bases_vectors_are_read_in_the_order_of_the_ids(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    write_embeddings(tmp_path / "queries", "query_id", ["a", "b"], vectors[:2])
    write_embeddings(tmp_path / "1", "doc_id", ["a", "x", "y"], vectors[2:5])
    write_embeddings(tmp_path / "2", "doc_id", ["z", "w"], vectors[5:])
    assert ModelVectors.at([]) is None
    base = ModelVectors.at([str(tmp_path / name) for name in ("queries", "1", "2")])
    np.testing.assert_array_equal(base.of(["b"], ["z", "a", "y"]), vectors[[1, 5, 2, 4]])
    with pytest.raises(BackfireError, match=r"no vector of doc_id 'v' \(1 missing\)"):
        base.of(["b"], ["z", "v"])
    before = base.digests()
    write_embeddings(tmp_path / "2", "doc_id", ["z", "w"], vectors[:2])
    assert [one == other for one, other in zip(before, base.digests(), strict=True)] == [True, True, False]
