"""Losses of sentence-transformers by the name of their class, on the vectors of a batch.

Those on pairs see each example as pairs of its query with the positive, labelled 1, and with each negative, labelled 0;
those on columns as query, positive and negatives. References stand in the library's documentation of each class.
"""

import inspect
from typing import Any

import torch
from torch.nn.functional import normalize

from backfire.errors import BackfireError, nearest
from backfire.study.objectives import COLUMNS
from backfire.training.objectives.batch import Batch, Objective, Outcome


def build(settings: dict) -> Objective:
    """The objective of `loss` settings: class, arguments, and whether vectors are scaled to unit length before.

    An argument that takes a function is given its name in the library: `pairwise_cos_sim` of its similarities,
    `EUCLIDEAN` of the class's distances. Raises `BackfireError` for arguments that the class does not take.
    """
    loss = _loss(settings["class"], settings["arguments"])
    on_columns = settings["class"] in COLUMNS

    def objective(batch: Batch) -> Outcome:
        vectors = normalize(batch.vectors) if settings["normalize"] else batch.vectors
        query, passages = vectors[batch.queries], [vectors[column] for column in batch.passages.T]
        if settings["class"] == "TripletLoss" and len(passages) > 2:
            # It takes one negative: an example with several is as many triplets.
            positive, *negatives = passages
            pairs = [each.repeat(len(negatives), 1) for each in (query, positive)]
            return Outcome(loss.compute_loss_from_embeddings([*pairs, torch.cat(negatives)], None), None)
        if on_columns:
            return Outcome(loss.compute_loss_from_embeddings([query, *passages], None), None)
        labels = torch.zeros(len(passages), len(query), device=vectors.device)
        labels[0] = 1
        pairs = [query.repeat(len(passages), 1), torch.cat(passages)]
        return Outcome(loss.compute_loss_from_embeddings(pairs, labels.flatten()), None)

    return objective


def _loss(name: str, arguments: dict[str, Any]):
    """An instance of the library's class; it needs no model where it is given vectors."""
    from sentence_transformers.sentence_transformer import losses

    kind = getattr(losses, name)
    accepted = [each for each in inspect.signature(kind).parameters if each != "model"]
    if unknown := sorted(arguments.keys() - set(accepted)):
        raise BackfireError(f"loss.arguments: {name} takes no '{unknown[0]}'.", nearest(unknown[0], accepted))
    try:
        return kind(None, **{key: _resolved(kind, key, value) for key, value in arguments.items()})
    except (TypeError, ValueError) as error:
        raise BackfireError(
            f"loss.arguments: {name} does not accept {arguments} ({error}).",
            f"its arguments are {', '.join(accepted)}; see sentence-transformers' documentation of the class.",
        ) from error


def _resolved(kind, key: str, value: Any) -> Any:
    """A function of the library by its name, where the argument takes one; looked for in two closed lists."""
    if key not in ("similarity_fct", "distance_metric"):
        return value
    known = _similarities() if key == "similarity_fct" else _distances(kind)
    if value not in known:
        raise BackfireError(f"loss.arguments.{key}: found {value!r}.", f"one of {', '.join(sorted(known))}.")
    return known[value]


def _similarities() -> dict[str, Any]:
    from sentence_transformers import util

    names = ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim")
    return {name: getattr(util, name) for each in names for name in (each, f"pairwise_{each}")}


def _distances(kind) -> dict[str, Any]:
    """The distances that a class takes, by the library's names."""
    from sentence_transformers.sentence_transformer.losses import SiameseDistanceMetric, TripletDistanceMetric

    holder = TripletDistanceMetric if kind.__name__ == "TripletLoss" else SiameseDistanceMetric
    # Functions are no members of an enumeration.
    return {name: value for name, value in vars(holder).items() if name.isupper()}
