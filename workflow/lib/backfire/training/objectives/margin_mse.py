"""Margins between a query's positive and negatives, towards those of a teacher's scores, by squared error.

MarginMSE (Hofstätter et al. 2020, arXiv 2010.02666), by sentence-transformers' own class.
"""

from backfire.training.objectives.batch import Batch, Objective, Outcome
from backfire.training.objectives.student import columns, similarity


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: scale and normalize."""
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    loss = MarginMSELoss(None, similarity_fct=similarity(settings["scale"]))

    def followed(batch: Batch) -> Outcome:
        return Outcome(loss.compute_loss_from_embeddings(columns(batch, settings["normalize"]), batch.teacher), None)

    return followed
