"""What a study must know of a training objective before any job: what it needs and what its settings mean.

The objectives themselves are in `training/objectives`, a module each, by the same names.
"""

from dataclasses import dataclass, fields
from typing import Any

from backfire.errors import BackfireError

# Half the range of cosine similarity: no triplet is satisfied beyond it.
LARGEST_COSINE_MARGIN = 2
MARGINS = {"cosine": 0.2, "euclidean": 5.0, "manhattan": 5.0}


@dataclass(frozen=True)
class Kind:
    """`margin`: an example may be satisfied, and then has no gradient. `in_batch`: other examples' passages are its
    negatives, so it must be known which are relevant. `base`: it takes the base's vectors of the batch's texts.
    `guide`: it takes those of the model that its settings name. `holds`: it compares a text's vector with the base's
    own, so both must be of one space; it teaches nothing. `start`: it holds weights near those of the start, and
    teaches nothing either. `teacher`: it follows the scores that a teacher gave the passages of each example."""

    margin: bool = False
    in_batch: bool = False
    base: bool = False
    guide: bool = False
    holds: bool = False
    start: bool = False
    teacher: bool = False


KINDS = {
    "triplet": Kind(margin=True),
    "multiple_negatives_ranking": Kind(in_batch=True),
    "gist": Kind(in_batch=True, guide=True),
    "anchor": Kind(base=True, holds=True),
    "l2_sp": Kind(start=True),
    "margin_mse": Kind(teacher=True),
    "distill_kl_div": Kind(teacher=True),
    "library": Kind(),
}
# A sum of the others, each with its weight.
WEIGHTED = "weighted"
# Losses of sentence-transformers that take query, positive and negatives; the others that are known take pairs.
COLUMNS = ("MultipleNegativesRankingLoss", "TripletLoss")


def terms(loss: dict[str, Any]) -> list[dict[str, Any]]:
    """What an objective is made of: the terms of a weighted sum, else itself alone."""
    return loss["terms"] if loss["name"] == WEIGHTED else [loss]


def needs(loss: dict[str, Any]) -> Kind:
    """What an objective needs: whatever one of its terms does."""
    kinds = [KINDS[term["name"]] for term in terms(loss)]
    return Kind(**{each.name: any(getattr(kind, each.name) for kind in kinds) for each in fields(Kind)})


def modules(loss: dict[str, Any]) -> list[str]:
    """Names of the modules of `training/objectives` that compute it, the one that is asked for first."""
    return list(dict.fromkeys([loss["name"], *sorted(term["name"] for term in terms(loss))]))


def guides(loss: dict[str, Any]) -> list[str]:
    """Names of the variants that guide it."""
    return list(dict.fromkeys(term["guide"] for term in terms(loss) if KINDS[term["name"]].guide))


def completed(where: str, loss: dict[str, Any], beyond: bool = False) -> dict[str, Any]:
    """Settings of an objective that fit the schema, with what follows from one another filled in.

    Raises `BackfireError`, naming the block `where`, for settings that do not go together; a margin may go `beyond`
    what cosine similarities can differ by where that is what is to be tried.
    """
    kinds = [KINDS[term["name"]] for term in terms(loss)]
    if all(kind.holds or kind.start for kind in kinds):
        raise BackfireError(
            f"{where}: {terms(loss)[0]['name']} alone holds on to {'the base' if kinds[0].holds else 'the start'} and "
            "teaches nothing.",
            "make it a term beside one that teaches, as {name: weighted, terms: [{name: multiple_negatives_ranking}, "
            "{name: anchor, weight: 0.1}]}.",
        )
    if loss["name"] == WEIGHTED:
        found = [_completed(f"{where}.terms.{place}", term, beyond) for place, term in enumerate(loss["terms"])]
        return loss | {"terms": found}
    return _completed(where, loss, beyond)


def _completed(where: str, loss: dict[str, Any], beyond: bool) -> dict[str, Any]:
    if loss["name"] == "triplet":
        margin = _margin(loss)
        if loss["distance"] == "cosine" and margin > LARGEST_COSINE_MARGIN and not beyond:
            raise BackfireError(
                f"{where}.margin: found {margin:g}, and cosine similarities differ by at most {LARGEST_COSINE_MARGIN}.",
                "a margin around 0.2 is usual; 5 goes with distance: euclidean.",
            )
        return loss | {"margin": margin}
    if loss["name"] != "multiple_negatives_ranking":
        return loss
    sided = sorted({"query_to_query", "doc_to_doc"} & set(loss["directions"]))
    if loss["partition_mode"] == "per_direction" and sided:
        raise BackfireError(
            f"{where}.partition_mode: per_direction, but {sided[0]} holds no positive to normalise.",
            "set partition_mode: joint, or leave query_to_query and doc_to_doc out of directions.",
        )
    return loss


def told(loss: dict[str, Any]) -> str:
    """The objective in words, for a sentence that begins `with the`."""
    if loss["name"] == WEIGHTED:
        return "sum of " + " and ".join(
            f"{term['weight']:g} times the {_TOLD[term['name']](term)}" for term in terms(loss)
        )
    return _TOLD[loss["name"]](loss)


def _triplet(loss: dict[str, Any]) -> str:
    where = "cosine similarity"
    if loss["distance"] != "cosine":
        where = f"{loss['distance'].capitalize()} distance between {'unit' if loss['normalize'] else 'raw'} vectors"
    return f"triplet loss on {where} at margin {_margin(loss):g}"


def _library(loss: dict[str, Any]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in loss["arguments"].items()) or "with its defaults"
    lengths = "unit" if loss["normalize"] else "raw"
    return f"{loss['class']} of sentence-transformers ({said}) on {lengths} vectors"


def _contrastive(loss: dict[str, Any]) -> str:
    directions = " and ".join(each.replace("_", " ") for each in loss["directions"])
    return f"contrastive loss over the batch (multiple negatives ranking, scale {loss['scale']:g}, {directions})"


def _guided(loss: dict[str, Any]) -> str:
    less = ""
    if loss["margin"]:
        share = loss["margin_strategy"] == "relative"
        less = f" less {100 * loss['margin']:g} %" if share else f" less {loss['margin']:g}"
    others = [said for said, key in (("queries", "anchors"), ("positives", "positives")) if loss[f"contrast_{key}"]]
    also = f", {' and '.join(others)} against each other as well" if others else ""
    return (
        f"guided contrastive loss over the batch (GISTEmbed, temperature {loss['temperature']:g}{also}; what "
        f"{_guide(loss)} finds more similar than a query and its positive{less} is no negative)"
    )


def _guide(loss: dict[str, Any]) -> str:
    return "the base" if loss["guide"] == "base" else loss["guide"]


def _near_start(loss: dict[str, Any]) -> str:
    return "squared distance of the weights from those of the start, halved (L2-SP)"


def _anchor(loss: dict[str, Any]) -> str:
    texts = {"both": "all texts", "queries": "queries", "passages": "passages"}[loss["texts"]]
    return f"distance from the base's vectors (anchor, one minus the cosine, of {texts})"


def _margins(loss: dict[str, Any]) -> str:
    return f"squared error of margins to the teacher's (MarginMSE, {_student(loss)})"


def _distribution(loss: dict[str, Any]) -> str:
    return (
        f"Kullback-Leibler divergence from the teacher's distribution over an example's passages ({_student(loss)}, "
        f"temperature {loss['temperature']:g})"
    )


def _student(loss: dict[str, Any]) -> str:
    return f"{'cosine similarity' if loss['normalize'] else 'dot product of raw vectors'} times {loss['scale']:g}"


_TOLD = {
    "triplet": _triplet,
    "multiple_negatives_ranking": _contrastive,
    "gist": _guided,
    "anchor": _anchor,
    "l2_sp": _near_start,
    "margin_mse": _margins,
    "distill_kl_div": _distribution,
    "library": _library,
}


def _margin(loss: dict[str, Any]) -> float:
    return MARGINS[loss["distance"]] if loss["margin"] is None else loss["margin"]
