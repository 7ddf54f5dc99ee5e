"""How the layers of a network move while it trains.

A norm over all weights hides which layers a recipe rewrites: its lower ones, which hold what the base knows of the
language, or the last ones, which make the vector.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

EMBEDDINGS, REST = "embeddings", "rest"
"""What stands before a network's stack of layers, and everything else that is in none of them."""


def layer_names(network: nn.Module) -> Callable[[str], str]:
    """The layer that a weight or a module of `network` belongs to, by its name.

    `layer 0` and so on of the stack, which torch's models keep in a `ModuleList`; where a network has several stacks,
    one behind the other or one for each side, by the stack's own name (`0.encoder.layer 3`).
    """
    lists = [name for name, module in network.named_modules() if isinstance(module, nn.ModuleList)]
    stacks = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    tables = [f"{name}." for name, module in network.named_modules() if isinstance(module, nn.Embedding)]

    def layer(name: str) -> str:
        for stack in stacks:
            if name.startswith(f"{stack}."):
                place = name.removeprefix(f"{stack}.").split(".")[0]
                return f"layer {place}" if len(stacks) == 1 else f"{stack} {place}"
        return EMBEDDINGS if "embed" in name or name.startswith(tuple(tables)) else REST

    return layer


def layer_norms(network: nn.Module) -> dict[str, float]:
    """The Euclidean norm of each layer's weights, in the order in which the network goes through them."""
    layer, squares = layer_names(network), {}
    with torch.no_grad():
        for name, weight in network.named_parameters():
            squares[layer(name)] = squares.get(layer(name), 0.0) + weight.pow(2).sum().item()
    return {name: math.sqrt(squares[name]) for name in sorted(squares, key=lambda each: each == REST)}


class Layers:
    """The trained weights of a network by layer, and what a step does to them.

    `before` comes when a step's gradients are there and `after` when it has changed the weights; then `rows` tell of
    it. In between a copy of the trained weights is held.
    """

    def __init__(self, network: nn.Module, norms: dict[str, float]):
        """`norms` are those of the weights that training starts from, the order of the layers with them."""
        layer = layer_names(network)
        self._norms = norms
        self._weights: dict[str, list[nn.Parameter]] = {name: [] for name in norms}
        for name, weight in network.named_parameters():
            if weight.requires_grad:
                self._weights[layer(name)].append(weight)
        self._weights = {name: weights for name, weights in self._weights.items() if weights}
        self._copies: dict[str, list[Tensor]] = {}
        self._gradients: dict[str, float] = {}
        self._updates: dict[str, float] = {}

    @torch.no_grad()
    def before(self) -> None:
        """Take the norms of the gradients, not clipped yet, and copy the weights."""
        self._gradients = {name: _norm(weight.grad for weight in each) for name, each in self._weights.items()}
        self._copies = {name: [weight.clone() for weight in each] for name, each in self._weights.items()}

    @torch.no_grad()
    def after(self) -> None:
        """Compare the weights with their copies."""
        for name, copies in self._copies.items():
            moved = _norm(weight - copy for weight, copy in zip(self._weights[name], copies, strict=True))
            was = _norm(copies)
            self._updates[name] = moved / was if was else math.nan
        self._copies = {}

    def rows(self, drifts: dict[str, float]) -> list[dict[str, Any]]:
        """One for each layer that is trained: columns of the table `layers` but the step.

        `drifts`: by layer the norm of what training has changed so far.
        """
        return [
            {
                "layer": name,
                "place": place,
                "drift": drifts.get(name, 0.0) / norm if norm else None,
                "grad_norm": self._gradients[name],
                "update_ratio": None if math.isnan(self._updates[name]) else self._updates[name],
            }
            for place, (name, norm) in enumerate(self._norms.items())
            if name in self._weights
        ]


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(tensor.pow(2).sum().item() for tensor in tensors))
