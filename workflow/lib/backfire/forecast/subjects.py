"""Which variants can be looked at before anything is trained.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from typing import Any

from backfire.study.study import Study
from backfire.study.variants import BASE


def subjects(study: Study) -> list[str]:
    """Trained variants of a study that start from a model which is there, and whose objective needs no other model."""
    return [name for name in study.trained if name in study.compared and not why_not(study, name)]


def foreseen(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a study's configuration that its forecast uses, enough to make a `Study` of."""
    left_out = {"geometry", "projection", "latency", "ladder", "base_model_sha256"}
    found = {key: value for key, value in config.items() if key not in left_out}
    return found | {"protocol": None, "selections": {}}


def why_not(study: Study, name: str) -> str | None:
    """Why a trained variant cannot be looked at; None where it can."""
    each = study.variants[name]
    if study.variants[each.start_from].parents:
        return f"it starts from {each.start_from}, which is not there before that is trained"
    if each.guide not in (None, BASE):
        return f"{each.guide} guides it, whose vectors are made when it is trained"
    return None
