"""The training objective: triplet loss on cosine similarity, evaluated in fp32."""

import torch
from torch import Tensor


def violations(query: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """s(q, p-) - s(q, p+) + margin of each triplet, s the cosine similarity; three (batch, dimensions) to (batch,).

    The loss of a triplet is this where it is positive, else 0: then the triplet is satisfied, and has no gradient.
    """
    cosine = torch.nn.functional.cosine_similarity
    return cosine(query, negative) - cosine(query, positive) + margin
