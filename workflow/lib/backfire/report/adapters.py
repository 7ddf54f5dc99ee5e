"""Adapters in words: in a few for a card, and in full for the method."""

from typing import Any

from backfire.report.numbers import names
from backfire.study.adapters import ALL_LINEAR

# How they start, after `that start`.
_STARTS = {
    False: "at random",
    "gaussian": "from normal numbers",
    "mica": "from the smallest singular vectors of the weights (MiCA)",
    "olora": "from a QR decomposition of the weights (OLoRA)",
    "orthogonal": "from orthogonal matrices",
    "pissa": "from the largest singular vectors of the weights (PiSSA)",
}
_BIASES = {"lora_only": ", with their biases,", "all": ", with all biases of the transformer,"}


def adapter(lora: dict[str, Any]) -> str:
    """Kind, rank and start, as `rank-stabilised DoRA of rank 8, PiSSA start`."""
    start = {"pissa": ", PiSSA start", "olora": ", OLoRA start", "mica": ", MiCA start"}.get(_start(lora), "")
    return f"{_kind(lora)} of rank {lora['rank']}{start}"


def adapted(lora: dict[str, Any]) -> str:
    """What is trained in place of the weights, as a sentence."""
    shape = [f"alpha {lora['alpha']:g}", f"dropout {lora['dropout']:g}"]
    for key, what in (("rank_pattern", "rank"), ("alpha_pattern", "alpha")):
        shape += [f"{what} {value:g} where a name ends with '{name}'" for name, value in lora.get(key, {}).items()]
    if lora.get("use_rslora"):
        shape.append("the update scaled by alpha over the root of the rank")
    start = f" that start {_STARTS[_start(lora)]}" if _start(lora) in _STARTS else ""
    kind = _kind(lora)
    return (
        f"{kind[0].upper()}{kind[1:]} adapters of rank {lora['rank']} ({', '.join(shape)}){start} are trained on "
        f"{_where(lora)}"
        f"{_BIASES.get(lora.get('bias'), '')} and merged into the weights afterwards."
    )


def _kind(lora: dict[str, Any]) -> str:
    return ("rank-stabilised " if lora.get("use_rslora") else "") + ("DoRA" if lora.get("use_dora") else "LoRA")


def _start(lora: dict[str, Any]) -> str | bool:
    start = lora.get("init_lora_weights", True)
    return start.partition("_niter_")[0] if isinstance(start, str) else start


def _where(lora: dict[str, Any]) -> str:
    """The layers that adapters go around."""
    targets = lora["target_modules"]
    found = f"the modules {names(targets)}" if isinstance(targets, list) else f"the modules named '{targets}'"
    if targets == ALL_LINEAR:
        found = "all linear layers"
    if left_out := lora.get("exclude_modules"):
        found += f" but {names(left_out) if isinstance(left_out, list) else left_out}"
    if "layers_to_transform" in lora:
        numbers = lora["layers_to_transform"]
        numbers = numbers if isinstance(numbers, list) else [numbers]
        found += f" of layer{'s' * (len(numbers) > 1)} {names(map(str, numbers))}"
    return found
