"""Anchor: the vectors of the batch's texts stay near those that the base gives them.

The mean over texts of one minus the cosine between a text's vector and the base's, which is half the squared distance
between them at unit length. It keeps the features of the old model while a new one is learnt, as the less-forget
constraint of Hou et al. 2019 (CVPR, "Learning a Unified Classifier Incrementally via Rebalancing") does, in the family
of Li and Hoiem 2016 (Learning without Forgetting, arXiv 1606.09282), which keeps outputs. With the base as teacher it
is what sentence-transformers' `EmbedDistillLoss` computes (Kim et al. 2023, arXiv 2301.12005), to which tests hold it
equal; a text that comes twice counts once.
"""

from torch.nn.functional import cosine_similarity

from backfire.training.objectives.batch import Batch, Objective, Outcome


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: `texts` says whose vectors it holds, `queries`, `passages` or `both`."""
    held = settings["texts"]

    def anchor(batch: Batch) -> Outcome:
        vectors, base = batch.vectors, batch.base
        if held != "both":
            texts = getattr(batch, held).unique()
            vectors, base = vectors[texts], base[texts]
        return Outcome((1 - cosine_similarity(vectors, base)).mean(), None)

    return anchor
