"""L2-SP: the weights stay near those that training starts from.

Half the squared distance between the weights and those of the start, over all that are trained (Li, Grandvalet and
Davoine 2018, ICML, arXiv 1802.01483). A term of a weighted sum: its weight is the paper's alpha. Unlike `weight_decay`
it is part of the loss, so clipping and AdamW's division see it.
"""

from backfire.training.objectives.batch import Batch, Objective, Outcome


def build(settings: dict) -> Objective:
    """The objective of `loss` settings, which hold nothing."""

    def near_start(batch: Batch) -> Outcome:
        return Outcome(batch.moved, None)

    return near_start
