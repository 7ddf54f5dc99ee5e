"""The model that a study asks for its opinion of what took an answer's place.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backfire.study.variants import Reranked, Variant

CROSS_ENCODER = "cross-encoder"


@dataclass(frozen=True)
class Judge:
    """A teacher or a reranker of the study: `folder` is where it lies, relative to the study's results."""

    model: str
    kind: str
    folder: str
    max_length: int | None
    """Tokens that it reads of a pair, or of each text; None for a cross-encoder's own limit."""
    reranked: list[str] = field(default_factory=list)
    """Variants whose order is its own, which it says nothing about."""
    followed: list[str] = field(default_factory=list)
    """Variants that were trained to follow it."""


def judge_of(
    triples: Mapping[str, Any], variants: Iterable[Variant], teacher_length: Mapping[str, int | None]
) -> Judge | None:
    """The judge among the teachers of `triples`, and the models of `variants` that rerank: the first cross-encoder, or
    else the first teacher; None where there is neither.

    `teacher_length`: what the teacher of each set reads. Sets and variants count by name, whose order is the same in a
    file and in a job's parameters.
    """
    variants = sorted(variants, key=lambda each: each.name)
    found = [
        Judge(each.teacher["model"], each.teacher["kind"], f"teachers/{name}", teacher_length[name])
        for name, each in sorted(triples.items())
        if each.teacher
    ]
    rerankers = [each for each in variants if isinstance(each, Reranked)]
    found += [
        Judge(each.model, CROSS_ENCODER, f"rerankers/{each.name}", each.settings["max_length"]) for each in rerankers
    ]
    if not found:
        return None
    judge = next((each for each in found if each.kind == CROSS_ENCODER), found[0])
    return replace(
        judge,
        reranked=[each.name for each in rerankers if each.model == judge.model],
        followed=[
            each.name
            for each in variants
            # A plan's study leaves the objective out.
            if each.trained
            and "loss" in each.settings
            and each.objective.teacher
            and triples[each.triples].teacher["model"] == judge.model
        ],
    )
