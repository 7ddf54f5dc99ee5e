"""Time: how long the long stages take at the rates that were measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from backfire.planning.facts import Expected
from backfire.planning.jobs import Jobs
from backfire.planning.probe import Rates
from backfire.planning.sizes import Stage

OTHER = "other protocols"
# Stages by the rule of their jobs, and whether GPUs share them.
STAGES = {
    "encode_corpus": ("encode", True),
    "encode_queries": ("encode", True),
    "train_variant": ("train", True),
    "mine_hard": ("mine hard negatives", False),
    "score_teacher": ("score examples", True),
    "judge_exchanges": ("judge what changed places", True),
    "rank": ("rank", False),
    "rerank_run": ("rerank", True),
}


@dataclass(frozen=True)
class Duration:
    """Seconds of a stage; `on_gpu` says whether its work can be shared between GPUs."""

    stage: str
    seconds: float
    on_gpu: bool = False


def durations(expected: Expected, rates: Rates, jobs: Iterable[Jobs], sizes: list[Stage]) -> list[Duration]:
    """Seconds of the stages that take long, one job after another."""
    found = {stage: Duration(stage, 0.0, on_gpu) for stage, on_gpu in [*STAGES.values(), (OTHER, True)]}
    for each in jobs:
        if each.script in STAGES:
            name, on_gpu = (OTHER, True) if each.tried else STAGES[each.script]
            seconds = found[name].seconds + each.times * seconds_of(expected, rates, each.script, **each.wildcards)
            found[name] = Duration(name, seconds, on_gpu)
    written = sum(stage.peak for stage in sizes if stage.place == "work") / rates.written_per_second
    return [*(each for each in found.values() if each.seconds), Duration("write files", written)]


def seconds_of(expected: Expected, rates: Rates, rule: str, **wildcards: Any) -> float:
    """Seconds of a job of `rule`, of one shard where it takes shards.

    All models are as fast as the base: of another, and of a cross-encoder, nothing was measured.
    """
    work = expected.work(rule, SimpleNamespace(**wildcards))
    encoded = work.tokens / (rates.query_tokens_per_second if work.short else rates.tokens_per_second)
    trained = work.steps * rates.step[work.model] if work.steps else 0.0
    return encoded + trained + work.pairs * rates.seconds_per_pair + work.merges * rates.seconds_per_merge
