"""Weights averaged over models, tensor by tensor.

Between a base and what it was tuned into this is WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903): much of the gain
with less forgetting. Over several variants or seeds it is a model soup (Wortsman et al. 2022, arXiv 2203.05482).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from backfire.encoders.certificate import certify
from backfire.encoders.library import load_library_model
from backfire.errors import BackfireError
from backfire.formats.atomic import replacing, write_json

NOTES = "mix.json"

logger = logging.getLogger(__name__)


def mix_models(models: Sequence[str | Path], shares: Sequence[float], output: str | Path, name: str) -> None:
    """Write the model folder `output`: each weight the sum of `shares` times those of `models`, folders of one shape.

    Sums are taken in double precision and stored in fp32, so a share of 1 gives that model's weights to the bit.
    Everything else (tokenizer, prompts, pooling) is the first model's. `name` is what the mix is called. Raises
    `BackfireError` where the models have not the same modules, weights or vocabulary.
    """
    first = load_library_model(models[0])
    total = _scaled(first.state_dict(), shares[0])
    for folder, share in zip(models[1:], shares[1:], strict=True):
        other = load_library_model(folder)
        _check_alike(name, models[0], first, folder, other)
        for tensor, part in other.state_dict().items():
            if total[tensor].is_floating_point():
                total[tensor] += share * part.double()
    first.load_state_dict({tensor: _stored(value) for tensor, value in total.items()})
    with replacing(output) as folder:
        first.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
        write_json(folder / NOTES, {"models": list(map(str, models)), "shares": list(shares)})
        certify(folder, name)


def _scaled(state: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Tensors times `share` in double precision; integers, as positions, as they are."""
    return {name: share * tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _stored(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_alike(name: str, folder: str | Path, model, other_folder: str | Path, other) -> None:
    """Raise `BackfireError` where two models cannot be averaged."""
    hint = "mix models that were tuned from one and the same base."
    kinds = [[type(module).__name__ for module in each] for each in (model, other)]
    if kinds[0] != kinds[1]:
        raise BackfireError(
            f"{name}: {folder} is made of the modules {', '.join(kinds[0])}, {other_folder} of {', '.join(kinds[1])}.",
            hint,
        )
    shapes = [{key: tuple(tensor.shape) for key, tensor in each.state_dict().items()} for each in (model, other)]
    differ = sorted(key for key in shapes[0].keys() | shapes[1].keys() if shapes[0].get(key) != shapes[1].get(key))
    if differ:
        here, there = (each.get(differ[0], "not there") for each in shapes)
        raise BackfireError(
            f"{name}: {len(differ)} weights of {folder} and {other_folder} have not the same shape, {differ[0]} first: "
            f"{here} and {there}.",
            hint,
        )
    if model.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise BackfireError(f"{name}: {folder} and {other_folder} have other tokens.", hint)
