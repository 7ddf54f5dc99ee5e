"""Guided contrastive loss: in-batch negatives that a guide finds nearer than the positive are left out as false.

GISTEmbed (Solatorio 2024, arXiv 2402.16829) as sentence-transformers' `CachedGISTEmbedLoss` computes it, to which tests
hold it equal; the guide is a model of the study that is not trained, by its vectors. That class takes two models and no
vectors, so the sums are written out here, as products of matrices. As in `multiple_negatives_ranking`, a passage that
is known to be relevant to a query is no negative of it either, and neither is the same text come twice.
"""

import torch
from torch.nn.functional import cross_entropy, normalize

from backfire.training.objectives.batch import Batch, Objective, Outcome


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: temperature, margin_strategy, margin, contrast_anchors and contrast_positives,
    as the library names them."""

    def guided(batch: Batch) -> Outcome:
        vectors, guide = normalize(batch.vectors), normalize(batch.guide)
        queries, positives, negatives = batch.queries, batch.passages[:, 0], batch.passages[:, 1:].T.reshape(-1)
        own = (guide[queries] * guide[positives]).sum(dim=1, keepdim=True)
        limit = own - settings["margin"] * (own.abs() if settings["margin_strategy"] == "relative" else 1)
        others = batch.known[:, positives].clone().fill_diagonal_(False)
        # Blocks of scores: of which rows, with which columns, and which of those are known to be no negatives.
        blocks = [(queries, positives, others), (queries, negatives, batch.known[:, negatives])]
        if settings["contrast_anchors"]:
            blocks.append((queries, queries, queries.unsqueeze(1) == queries))
        if settings["contrast_positives"]:
            blocks.append((positives, positives, batch.known[:, positives]))
        scores = []
        for rows, columns, known in blocks:
            nearer = guide[rows] @ guide[columns].T > limit
            if columns is positives and rows is queries:
                nearer.fill_diagonal_(False)
            scores.append((vectors[rows] @ vectors[columns].T).masked_fill(known | nearer, -torch.inf))
        each = torch.arange(len(queries), device=vectors.device)
        return Outcome(cross_entropy(torch.cat(scores, dim=1) / settings["temperature"], each), None)

    return guided
