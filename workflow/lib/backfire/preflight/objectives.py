"""Objectives that compare with a model: whether its vectors on disk are those that they should be compared with.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from backfire.errors import BackfireError
from backfire.study.study import Study
from backfire.study.variants import BASE, Trained


def check_objectives(study: Study) -> list[str]:
    """A line for each variant that is trained at another length than the vectors are of that it compares with.

    Raises `BackfireError` for an objective that holds vectors near the base's where they are of another space, or of
    texts with other prompts.
    """
    lines, taken = [], study.config["encoding"]["max_length"]
    for name in study.named(Trained):
        variant = study.variants[name]
        if variant.objective.holds:
            _check_space(study, name)
        if (variant.objective.base or variant.guide) and (length := variant.settings["max_length"]) != taken:
            lines.append(
                f"variants.{name}.loss: it takes vectors that are on disk, of texts cut at {taken} tokens "
                f"(encoding.max_length), and is trained on texts cut at {length}."
            )
    return lines


def _check_space(study: Study, name: str) -> None:
    origin = study.variants[study.origin(name)]
    if study.space(name) != BASE:
        what = f"of '{origin.model}', whose vectors have nothing in common with the base's"
    elif "prompts" in origin.changes:
        what = "which puts other prompts before its texts than the base"
    else:
        return
    raise BackfireError(
        f"variants.{name}.loss: anchor holds vectors near the base's, and '{name}' descends from '{origin.name}', "
        f"{what}.",
        "start from base or what descends from it; to tune another model or with other prompts, name them for the "
        "base (base_model, variants.base.prompts).",
    )
