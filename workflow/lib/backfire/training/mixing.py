"""Weights averaged over models, tensor by tensor.

Between a base and what it was tuned into this is WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903): much of the gain
with less forgetting. Over several variants or seeds it is a model soup (Wortsman et al. 2022, arXiv 2203.05482).
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backfire.encoders.certificate import certificate_of, certify
from backfire.encoders.encoder import Encoder, load_tokenizer
from backfire.encoders.folders import MIX
from backfire.encoders.library import library_forward, load_library_model
from backfire.encoders.similarity import COSINE
from backfire.errors import BackfireError
from backfire.evaluation.selection import highest
from backfire.formats.atomic import replacing, write_json
from backfire.training.development import development_set

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watched:
    """What mixes are looked at on: queries that are watched in training, against a pool of passages (`development`)."""

    queries: str
    qrels: str
    corpus: Sequence[str]
    max_length: int
    measure: str
    pool: int
    relevant_from: int
    size: int


def mix_models(
    models: Sequence[str | Path],
    shares: Sequence[Sequence[float]],
    output: str | Path,
    name: str,
    watched: Watched | None = None,
) -> None:
    """Write the model folder `output`: each weight the sum over `models`, of one shape, of a share times theirs.

    `shares` are those of each model in every mix that is tried, one or, with `watched`, several: the one whose measure
    there has the highest mean is written, the first of equals. Sums are taken in double precision and stored in fp32,
    so a share of 1 gives that model's weights to the bit. Everything else (tokenizer, prompts, pooling) is the first
    model's. `name` is what the mix is called. Raises `BackfireError` where the models have not the same modules,
    weights or vocabulary.
    """
    first = load_library_model(models[0])
    states = [{tensor: value.clone() for tensor, value in first.state_dict().items()}]
    for folder in models[1:]:
        other = load_library_model(folder)
        _check_alike(name, models[0], first, folder, other)
        states.append(other.state_dict())
    tried = [list(each) for each in zip(*shares, strict=True)]
    values = [] if watched is None else list(_looked_at(models[0], first, states, tried, watched))
    chosen = tried[highest(dict(enumerate(values))) if values else 0]
    first.load_state_dict(_mixed(states, chosen))
    notes: dict[str, Any] = {"models": list(map(str, models)), "shares": chosen}
    if watched is not None:
        notes |= {"measure": watched.measure, "tried": list(zip(tried, values, strict=True))}
        logger.info("%s: of %s, %s has the highest %s", name, notes["tried"], chosen, watched.measure)
    with replacing(output) as folder:
        first.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
        write_json(folder / MIX, notes)
        certify(folder, name)


def _looked_at(
    folder: str | Path, model, states: list[dict[str, Tensor]], tried: list[list[float]], watched: Watched
) -> Iterator[float]:
    """The mean of the watched measure of each mix; the weights of `model` are left those of the last one."""
    tokenizer, similarity = load_tokenizer(Path(folder), model), certificate_of(Path(folder)).similarity
    looked = development_set(
        watched.queries,
        watched.qrels,
        list(watched.corpus),
        watched.size,
        watched.pool,
        tokenizer,
        watched.max_length,
        watched.relevant_from,
    )
    encoder = Encoder(
        tokenizer, library_forward(model, unit=similarity != COSINE), torch.device("cpu"), similarity, "fp32"
    )
    for shares in tried:
        model.load_state_dict(_mixed(states, shares))
        values = looked.look(encoder, [watched.measure])[0][watched.measure].values()
        yield sum(values) / len(values)


def _mixed(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Sums of tensors times their shares, in fp32; integers, as positions, are the first one's."""
    return {
        name: sum(share * state[name].double() for share, state in zip(shares, states, strict=True)).float()
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }


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
