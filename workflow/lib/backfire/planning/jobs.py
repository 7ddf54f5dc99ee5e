"""What a plan depends on: the settings it uses, and how many jobs the study has, asked of the rules themselves.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_BATCH = "_shards_"


def batch_name(rule: str, shards: range) -> str:
    """Name of the copy of a rule whose one job takes those shards, as encode_corpus_shards_1_to_10."""
    return f"{rule}{_BATCH}{shards[0]}_to_{shards[-1]}"


class Jobs(NamedTuple):
    """Jobs of one rule that compute the same: how many, and how many `times` over that, once for each shard they take.

    `script` is the stem of the script's name, which rules that take over another's share with it; `wildcards` are those
    that the work goes by: a shard is like another, and a seed.
    """

    rule: str
    script: str
    wildcards: dict[str, str]
    count: int
    times: int

    @property
    def tried(self) -> bool:
        """Whether they evaluate the base under another protocol."""
        return "choice" in self.wildcards or self.rule == "rank_without_own_ids"


# Wildcards that jobs differ in and their work does not.
_LIKE = {"study", "seed", "shard", "shards", "part", "parts"}


def list_jobs(target: Any, producers: Callable[[str], Iterable[Any]]) -> list[Jobs]:
    """Jobs that the rule `target` takes from nothing, itself included.

    `producers` gives the rules that make a file. Rules are those of the running workflow: with `name`, `script`,
    `get_wildcards(file)` and `expand_input(wildcards)`, which wildcards, constraints and input functions are applied
    by. So the list follows whatever the rules say, and is that of a dry run in an empty folder, with copies for
    batches of shards under their rule's name. No file is looked at, apart from what input functions ask for, and a
    source that no rule makes has no job.
    """
    jobs: dict[Any, tuple[Any, dict[str, str]]] = {(target.name, ()): (target, {})}
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
                    jobs[job] = producer, found
                    pending.append((producer, found))
    counts: Counter[Any] = Counter()
    times: Counter[Any] = Counter()
    for rule, wildcards in jobs.values():
        name, _, batch = rule.name.partition(_BATCH)
        first, _, last = batch.partition("_to_")
        kind = (
            name,
            Path(str(rule.script)).stem,
            tuple(sorted((k, v) for k, v in wildcards.items() if k not in _LIKE)),
        )
        counts[kind] += 1
        times[kind] += int(last) - int(first) + 1 if batch else 1
    return [
        Jobs(name, script, dict(like), count, times[name, script, like])
        for (name, script, like), count in sorted(counts.items())
    ]


def count_jobs(jobs: Iterable[Jobs]) -> dict[str, int]:
    """Jobs of each rule, {rule: count}."""
    total: Counter[str] = Counter()
    for each in jobs:
        total[each.rule] += each.count
    return dict(sorted(total.items()))


# Settings that change neither sizes nor durations: a plan stays valid when they change.
_SECTIONS = {"comparison", "geometry", "ladder", "projection", "latency", "base_model_sha256"}
_SETTINGS = {"learning_rate", "schedule", "warmup_ratio", "weight_decay", "max_grad_norm", "loss"}


def planned(config: dict[str, Any], rungs: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """The part of a study's configuration that its plan uses, enough to make a `Study` of.

    `rungs` are the settings of the variants that a ladder makes, which count as variants like the others there.
    """
    variants = {
        name: {key: value for key, value in block.items() if key not in _SETTINGS}
        for name, block in (config["variants"] | dict(rungs or {})).items()
    }
    return {key: value for key, value in config.items() if key not in _SECTIONS} | {"variants": variants}
