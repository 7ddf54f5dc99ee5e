"""What a training objective is: a function of the vectors of a batch's texts."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The vectors of a batch and what is known of its texts.

    `vectors` (texts, dimensions) holds each distinct text once, as the model pools it, before a last module scales it
    to unit length; it is a leaf, so that its gradient says which texts have one. `queries` (examples,) and `passages`
    (examples, 1 + negatives), the positive first, are rows of it, int64. `known` (examples, texts) is true where a
    text is relevant to the example's query, as its positive is: never a negative of it. `base` (texts, its dimensions)
    are the base's vectors of the same texts, as they are on disk, and `guide` those of the model that guides;
    `teacher` (examples, 1 + negatives) are a teacher's scores of `passages`; `moved`, a leaf, is half the squared
    distance of the weights from those of the start. Each is None for an objective that does not need it.
    """

    vectors: Tensor
    queries: Tensor
    passages: Tensor
    known: Tensor
    base: Tensor | None = None
    guide: Tensor | None = None
    teacher: Tensor | None = None
    moved: Tensor | None = None

    @property
    def query(self) -> Tensor:
        """Vectors of the queries, (examples, dimensions)."""
        return self.vectors[self.queries]


@dataclass(frozen=True)
class Outcome:
    """What a batch gave: the mean loss of its examples, a scalar with a gradient, and which examples are active.

    `active` (examples,) is true where the example still has a gradient; None for an objective whose gradient only
    fades, as that of a softmax. `terms` are the losses that a weighted sum adds up, by name, before their weights.
    """

    loss: Tensor
    active: Tensor | None
    terms: dict[str, Tensor] = field(default_factory=dict)


Objective = Callable[[Batch], Outcome]


def objective(loss: dict) -> Objective:
    """The objective that `loss` settings name; its module alone is loaded, so another one's code is no part of it."""
    return importlib.import_module(f"backfire.training.objectives.{loss['name']}").build(loss)
