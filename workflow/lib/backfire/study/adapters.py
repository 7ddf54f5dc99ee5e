"""What a study must know of adapters before any job: whose code they are, what goes together, and what fits a model.

Plain LoRA is in `encoders/adapters.py`; whatever else is asked for is peft's, by `encoders/peft_adapters.py`.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import re
from collections.abc import Iterator
from typing import Any

from backfire.errors import BackfireError, nearest

PLAIN = {"rank", "alpha", "dropout", "target_modules"}
"""The settings that every adapter has."""
ALL_LINEAR = "all-linear"
_INITS = ("gaussian", "mica", "olora", "orthogonal", "pissa", "pissa_niter_4")
_NITER = re.compile(r"pissa_niter_\d+")
# Starts that a configuration cannot give what they need, with the nearest that it can.
_UNKNOWN_HERE = {
    "corda": ("the covariance of each layer's inputs on sample texts", "pissa"),
    "eva": ("what each layer's inputs are on sample texts", "pissa"),
    "loftq": ("weights that are quantised, and Backfire's are fp32", "pissa"),
    "lora_ga": ("gradients on sample texts", "olora"),
}


def by_peft(lora: dict[str, Any]) -> bool:
    """Whether the settings ask for more than plain LoRA on layers of given names."""
    return lora.keys() != PLAIN or isinstance(lora["target_modules"], str)


def check_adapter(where: str, lora: dict[str, Any]) -> None:
    """Raise `BackfireError`, naming the block `where`, for settings that fit the schema and do not go together."""
    if isinstance(init := lora.get("init_lora_weights", True), str):
        _check_init(where, init, lora)
    if "layers_pattern" in lora and "layers_to_transform" not in lora:
        raise BackfireError(
            f"{where}.layers_pattern: it says where layers are counted, and no layers_to_transform says which.",
            "add layers_to_transform, as [4, 5], or leave layers_pattern out.",
        )
    if isinstance(lora["target_modules"], str) and "layers_to_transform" in lora:
        raise BackfireError(
            f"{where}.layers_to_transform: it goes with a list of target_modules, and these are one pattern.",
            "name the modules in a list, as [query, value], or put the layers' numbers into the pattern.",
        )
    for key, pattern in _patterns(lora):
        try:
            re.compile(pattern)
        except re.error as error:
            raise BackfireError(
                f"{where}.{key}: '{pattern}' is no regular expression ({error}).",
                "a text here is a pattern, as '.*attention.*(query|value)'; names of modules go in a list.",
            ) from error


def _check_init(where: str, init: str, lora: dict[str, Any]) -> None:
    if init in _UNKNOWN_HERE:
        needs, near = _UNKNOWN_HERE[init]
        raise BackfireError(
            f"{where}.init_lora_weights: found '{init}', which starts from {needs}.",
            f"the nearest that needs the weights alone is {near}.",
        )
    if init not in _INITS and not _NITER.fullmatch(init):
        raise BackfireError(
            f"{where}.init_lora_weights: found '{init}'.", f"{nearest(init, _INITS)} true and false are the other two."
        )
    odd = [rank for rank in (lora["rank"], *lora.get("rank_pattern", {}).values()) if rank % 2]
    if init == "orthogonal" and odd:
        raise BackfireError(
            f"{where}.init_lora_weights: orthogonal takes an even rank, found {odd[0]}.", "choose an even rank."
        )
    if init == "mica" and lora.get("use_dora"):
        raise BackfireError(
            f"{where}.use_dora: peft has no DoRA whose start is mica.", "leave one out, or start from pissa."
        )


def check_fit(where: str, lora: dict[str, Any], layers: list[str]) -> None:
    """Raise `BackfireError` for a setting that means none of a model's linear `layers`, as peft would have it.

    peft itself takes no notice of most of them. Settings are those that `check_adapter` lets pass.
    """
    kinds = ", ".join(sorted({layer.rsplit(".", 1)[-1] for layer in layers}))
    there = (
        f"its linear layers are named {kinds}."
        if kinds
        else "it has no linear layers that adapters go around; train it with method: full."
    )

    def refuse(key: str, found: str, hint: str = there) -> None:
        raise BackfireError(f"{where}.{key}: {found} of the model that it starts from.", hint)

    for key in ("target_modules", "exclude_modules"):
        named = lora.get(key, [])
        if isinstance(named, str) and not _meant(named, layers):
            refuse(key, f"'{named}' is the whole name of no linear layer")
        if isinstance(named, list) and (unknown := [each for each in named if not _meant([each], layers)]):
            refuse(key, f"{', '.join(unknown)} is no linear layer")
    chosen = _meant(lora["target_modules"], layers)
    left_out = set(_meant(lora.get("exclude_modules", []), chosen))
    chosen = [layer for layer in chosen if layer not in left_out]
    if not chosen:
        refuse("exclude_modules", "it leaves no adapter on any layer")
    if "layers_to_transform" in lora:
        places = {layer: _number(layer, _listed(lora.get("layers_pattern", []))) for layer in chosen}
        numbers = sorted({number for number in places.values() if number is not None})
        wanted = _listed(lora["layers_to_transform"])
        if unknown := [each for each in wanted if each not in numbers]:
            hint = f"no number was found in names as {chosen[0]}; layers_pattern names the list that layers are in."
            if numbers:
                hint = f"its layers are numbered {numbers[0]} to {numbers[-1]}."
            refuse("layers_to_transform", f"{', '.join(map(str, unknown))} is no layer", hint)
        chosen = [layer for layer in chosen if places[layer] in wanted]
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in lora.get(key, {}):
            if not any(re.match(rf"(.*\.)?({pattern})$", layer) for layer in chosen):
                refuse(key, f"'{pattern}' means no adapted layer", f"adapters go around {_few(chosen)}.")


def _meant(named: str | list[str], layers: list[str]) -> list[str]:
    """Layers that `named` means: a list has the ends of their names, a text is a pattern of the whole."""
    if isinstance(named, str):
        return [layer for layer in layers if named.lower() == ALL_LINEAR or re.fullmatch(named, layer)]
    return [layer for layer in layers if any(f".{layer}".endswith(f".{each}") for each in named)]


def _listed(value: Any) -> list:
    """The entries of a list, or the one value that stands for a list of it."""
    return list(value) if isinstance(value, list) else [value]


def _number(layer: str, lists: list[str]) -> int | None:
    """The number of the layer that a module is in, as peft counts."""
    patterns = [rf"(?:^|.*?\.){each}\.(\d+)\." for each in lists] or [r".*?\.[^.]*\.(\d+)\."]
    found = next(filter(None, (re.match(pattern, layer) for pattern in patterns)), None)
    return int(found[1]) if found else None


def _patterns(lora: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, regular expression) of all that peft reads as one."""
    for key in ("target_modules", "exclude_modules"):
        if isinstance(value := lora.get(key), str):
            yield key, value
    yield from (("layers_pattern", each) for each in _listed(lora.get("layers_pattern", [])))
    yield from ((key, each) for key in ("rank_pattern", "alpha_pattern") for each in lora.get(key, {}))


def _few(layers: list[str]) -> str:
    return ", ".join(layers[:4]) + (f" and {len(layers) - 4} more" if len(layers) > 4 else "")
