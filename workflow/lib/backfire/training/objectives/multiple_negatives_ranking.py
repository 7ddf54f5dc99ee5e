"""Contrastive loss over a batch: a query's positive against all other passages of the batch, and its hard negatives.

InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) as sentence-transformers' `MultipleNegativesRankingLoss` computes
it, with one addition: a passage that is known to be relevant to a query is no negative of it, and neither is the same
text come twice. The library leaves that to a sampler that keeps such examples out of one batch.
"""

import torch
from torch import Tensor

from backfire.training.objectives.batch import Batch, Objective, Outcome


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: scale, directions and partition_mode, as the library names them."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.util import cos_sim

    directions = [each for each in _MASKS if each in settings["directions"]]

    def contrast(batch: Batch) -> Outcome:
        # The library asks for one matrix of similarities a direction, in this order, before it scales them.
        masks = iter([_MASKS[direction](batch) for direction in directions])

        def masked(one: Tensor, other: Tensor) -> Tensor:
            return cos_sim(one, other).masked_fill(next(masks), -torch.inf)

        loss = MultipleNegativesRankingLoss(
            None,
            scale=settings["scale"],
            similarity_fct=masked,
            directions=directions,
            partition_mode=settings["partition_mode"],
        )
        vectors = [batch.query, *(batch.vectors[column] for column in batch.passages.T)]
        return Outcome(loss.compute_loss_from_embeddings(vectors, None), None)

    return contrast


def _query_to_doc(batch: Batch) -> Tensor:
    """True where column c, of positives and then negatives, is relevant to query i and not its own positive."""
    columns = batch.passages.T.reshape(-1)
    found = batch.known[:, columns].clone()
    found.diagonal().fill_(False)
    return found


def _query_to_query(batch: Batch) -> Tensor:
    """True where another query has the same text."""
    same = batch.queries.unsqueeze(0) == batch.queries.unsqueeze(1)
    return same.fill_diagonal_(False)


def _doc_to_query(batch: Batch) -> Tensor:
    """True where the positive of example i, a column here, is relevant to query j as well."""
    found = batch.known[:, batch.passages[:, 0]].clone()
    found.diagonal().fill_(False)
    return found


def _doc_to_doc(batch: Batch) -> Tensor:
    """True where passage c, a row here, is relevant to the query of example i; its own passages the library masks."""
    return batch.known[:, batch.passages.T.reshape(-1)].T.clone()


_MASKS = {
    "query_to_doc": _query_to_doc,
    "query_to_query": _query_to_query,
    "doc_to_query": _doc_to_query,
    "doc_to_doc": _doc_to_doc,
}
