"""What a study must know of a training objective before any job: what it needs and what its settings mean.

The objectives themselves are in `training/objectives`, a module each, by the same names.
"""

from dataclasses import dataclass
from typing import Any

from backfire.errors import BackfireError

# Half the range of cosine similarity: no triplet is satisfied beyond it.
LARGEST_COSINE_MARGIN = 2
MARGINS = {"cosine": 0.2, "euclidean": 5.0, "manhattan": 5.0}


@dataclass(frozen=True)
class Kind:
    """`margin`: an example may be satisfied, and then has no gradient. `in_batch`: other examples' passages are its
    negatives, so it must be known which are relevant."""

    margin: bool = False
    in_batch: bool = False


KINDS = {"triplet": Kind(margin=True), "multiple_negatives_ranking": Kind(in_batch=True), "library": Kind()}
# Losses of sentence-transformers that take query, positive and negatives; the others that are known take pairs.
COLUMNS = ("MultipleNegativesRankingLoss", "TripletLoss")


def completed(where: str, loss: dict[str, Any]) -> dict[str, Any]:
    """Settings of an objective that fit the schema, with what follows from one another filled in.

    Raises `BackfireError`, naming the block `where`, for settings that do not go together.
    """
    if loss["name"] == "triplet":
        margin = _margin(loss)
        if loss["distance"] == "cosine" and margin > LARGEST_COSINE_MARGIN:
            raise BackfireError(
                f"{where}.margin: found {margin:g}, and cosine similarities differ by at most {LARGEST_COSINE_MARGIN}.",
                "a margin around 0.2 is usual; 5 goes with distance: euclidean.",
            )
        return loss | {"margin": margin}
    if loss["name"] == "library":
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
    if loss["name"] == "triplet":
        where = "cosine similarity"
        if loss["distance"] != "cosine":
            where = f"{loss['distance'].capitalize()} distance between {'unit' if loss['normalize'] else 'raw'} vectors"
        return f"triplet loss on {where} at margin {_margin(loss):g}"
    if loss["name"] == "library":
        said = ", ".join(f"{key} {value}" for key, value in loss["arguments"].items()) or "with its defaults"
        lengths = "unit" if loss["normalize"] else "raw"
        return f"{loss['class']} of sentence-transformers ({said}) on {lengths} vectors"
    directions = " and ".join(each.replace("_", " ") for each in loss["directions"])
    return f"contrastive loss over the batch (multiple negatives ranking, scale {loss['scale']:g}, {directions})"


def _margin(loss: dict[str, Any]) -> float:
    return MARGINS[loss["distance"]] if loss["margin"] is None else loss["margin"]
