"""What `precision: auto` became in a study, in words and in the settings that are told."""

from collections.abc import Mapping
from typing import Any

from backfire.report.numbers import count, names
from backfire.study.precision import ENCODE, TRAIN, meant


def with_settled(config: dict[str, Any], settled: Mapping[str, Any] | None) -> dict[str, Any]:
    """A configuration with what was settled in the place of every `auto`; `settled` is None where there is none."""
    if settled is None:
        return config

    def told(block: dict[str, Any], task: str) -> dict[str, Any]:
        return block | {"precision": meant(block["precision"], settled, task)} if "precision" in block else block

    variants = {name: told(block, TRAIN) for name, block in config["variants"].items()}
    return config | {"encoding": told(config["encoding"], ENCODE), "variants": variants}


def arithmetic(settled: Mapping[str, Any]) -> str:
    """What was measured, and what was taken."""
    machine = f"{settled['processor']}, {count(settled['threads'], 'thread')}, torch {settled['torch']}"
    if not settled[ENCODE]["seconds"]:
        return f"The base multiplies nothing, so whatever is left to precision auto is computed in fp32 ({machine})."
    tasks = {ENCODE: "encoding", TRAIN: "training"}
    told = names(
        f"{word} is done in {settled[task]['precision']} ({_rates(settled[task])})" for task, word in tasks.items()
    )
    chosen = settled[ENCODE]["precision"]
    near = settled[ENCODE]["cosine"][chosen]
    close = "" if chosen == "fp32" else f" The least cosine of its vectors to those of fp32 was {near:.5f}."
    return (
        f"Where precision is auto, what is fast was measured once, on the base, and taken by every job: {told}, on "
        f"{machine}. Another arithmetic than fp32 has to be {settled['margin']:g} times as fast.{close}"
    )


def _rates(found: Mapping[str, Any]) -> str:
    """Tokens a second of each candidate."""
    rates = [f"{name} {found['tokens'] / seconds:,.0f}" for name, seconds in found["seconds"].items()]
    return f"{', '.join(rates)} tokens/s"
