"""Triplet loss: the positive is to be nearer to the query than each negative, by a margin.

Schroff et al. 2015 (FaceNet, arXiv 1503.03832); with Euclidean distance, margin 5 and raw vectors it is the default of
sentence-transformers' `TripletLoss`, to which tests hold it equal.
"""

from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, pairwise_distance

from backfire.training.objectives.batch import Batch, Objective, Outcome

# Distances but that of the cosine, as norms.
_NORMS = {"euclidean": 2.0, "manhattan": 1.0}


def violations(query: Tensor, positive: Tensor, negative: Tensor, margin: float, distance: str = "cosine") -> Tensor:
    """d(q, p+) - d(q, p-) + margin of each triplet, of three (..., dimensions) to (...,), d one minus the cosine or a
    distance.

    The loss of a triplet is this where it is positive, else 0: then the triplet is satisfied, and has no gradient.
    """
    if distance == "cosine":
        return cosine_similarity(query, negative, dim=-1) - cosine_similarity(query, positive, dim=-1) + margin
    norm = _NORMS[distance]
    return pairwise_distance(query, positive, p=norm) - pairwise_distance(query, negative, p=norm) + margin


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: distance, margin, and whether distances are between vectors of unit length.

    An example with several negatives is as many triplets, and active where one of them is; the loss is their mean.
    """
    distance, margin = settings["distance"], settings["margin"]
    # Cosine similarity knows no length.
    unit = settings["normalize"] and distance != "cosine"

    def triplet(batch: Batch) -> Outcome:
        vectors = normalize(batch.vectors) if unit else batch.vectors
        query = vectors[batch.queries].unsqueeze(1)
        positive, negatives = vectors[batch.passages[:, :1]], vectors[batch.passages[:, 1:]]
        found = violations(query, positive, negatives, margin, distance)
        return Outcome(found.clamp(min=0).mean(), (found.detach() > 0).any(dim=1))

    return triplet
