"""What a plan depends on: the settings it uses, and how many jobs the study has, asked of the rules themselves.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

_BATCH = "_shards_"


def batch_name(rule: str, shards: range) -> str:
    """Name of the copy of a rule whose one job takes those shards, as encode_corpus_shards_1_to_10."""
    return f"{rule}{_BATCH}{shards[0]}_to_{shards[-1]}"


def count_jobs(target: Any, producers: Callable[[str], Iterable[Any]]) -> dict[str, int]:
    """Jobs of each rule, {rule: count}, that the rule `target` takes from nothing, itself included.

    `producers` gives the rules that make a file. Rules are those of the running workflow: objects with `name`,
    `get_wildcards(file)` and `expand_input(wildcards)`, which wildcards, constraints and input functions are applied
    by. So the table follows whatever the rules say, and is that of a dry run in an empty folder, with copies for
    batches of shards counted as their rule. No file is looked at, apart from what input functions ask for, and a
    source that no rule makes has no job.
    """
    jobs = {(target.name, ())}
    seen: set[str] = set()
    pending = [(target, {})]
    while pending:
        rule, wildcards = pending.pop()
        for file in map(str, rule.expand_input(wildcards)[0]):
            if file in seen:
                continue
            seen.add(file)
            for producer in producers(file):
                found = dict(producer.get_wildcards(file))
                job = (producer.name, tuple(sorted(found.items())))
                if job not in jobs:
                    jobs.add(job)
                    pending.append((producer, found))
    return dict(sorted(Counter(name.partition(_BATCH)[0] for name, _ in jobs).items()))


# Settings that change neither sizes nor durations: a plan stays valid when they change.
_SECTIONS = {"comparison", "geometry", "projection", "latency", "base_model_sha256"}
_SETTINGS = {"learning_rate", "schedule", "warmup_ratio", "weight_decay", "max_grad_norm", "loss"}


def planned(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a study's configuration that its plan uses, enough to make a `Study` of."""
    variants = {
        name: {key: value for key, value in block.items() if key not in _SETTINGS}
        for name, block in config["variants"].items()
    }
    return {key: value for key, value in config.items() if key not in _SECTIONS} | {"variants": variants}
