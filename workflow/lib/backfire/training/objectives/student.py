"""What losses that follow a teacher share: the student's vectors by column, and its similarities."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import normalize

from backfire.training.objectives.batch import Batch


def columns(batch: Batch, unit: bool) -> list[Tensor]:
    """Vectors of the queries, of the positives and of each negative in turn, (examples, dimensions) each."""
    vectors = normalize(batch.vectors) if unit else batch.vectors
    return [vectors[batch.queries], *(vectors[column] for column in batch.passages.T)]


def similarity(scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The dot product of vectors row by row, times a scale: a cosine spans 2, a cross-encoder's scores some 20."""
    from sentence_transformers.util import pairwise_dot_score

    return lambda one, other: scale * pairwise_dot_score(one, other)
