"""The distribution over an example's passages, towards that of a teacher's scores, by Kullback-Leibler divergence.

As Lin et al. (2021, RepL4NLP) train towards a stronger model, by sentence-transformers' own class.
"""

from backfire.training.objectives.batch import Batch, Objective, Outcome
from backfire.training.objectives.student import columns, similarity


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: temperature, scale and normalize."""
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

    loss = DistillKLDivLoss(None, similarity_fct=similarity(settings["scale"]), temperature=settings["temperature"])

    def followed(batch: Batch) -> Outcome:
        return Outcome(loss.compute_loss_from_embeddings(columns(batch, settings["normalize"]), batch.teacher), None)

    return followed
