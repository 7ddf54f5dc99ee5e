"""What the filter of a triple set drops, and how much it dropped, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from backfire.report.numbers import count, names

_WORDS = {
    "absolute_margin": "above that of the positive less {:g}",
    "relative_margin": "above that of the positive less {:.4g} % of it",
    "max_score": "above {:g}",
    "min_score": "below {:g}",
}


def filtered(name: str, settings: Mapping[str, float], manifests: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the triple set `name`, from the settings of its filter and its manifests, one for each seed."""
    parts = [
        words.format(100 * settings[key] if key == "relative_margin" else settings[key])
        for key, words in _WORDS.items()
        if key in settings
    ]
    looked = sum(each["looked at"] for each in manifests)
    dropped = {key: sum(each["dropped"][key] for each in manifests) for key in settings}
    lacking = sum(each["without an example"] for each in manifests)
    each = f" ({names(f'{count(number)} by {key}' for key, number in dropped.items())})" if len(dropped) > 1 else ""
    seeds = f", over {count(len(manifests), 'seed')}" if len(manifests) > 1 else ""
    left = f"; {count(lacking, 'query', 'queries')} had too few left and gave no example" if lacking else ""
    return (
        f"Of '{name}', negatives were dropped whose similarity to the query, by the base, is {names(parts, 'or')}: "
        f"{count(sum(dropped.values()))} of {count(looked)} that were looked at{each}{left}{seeds}."
    )
