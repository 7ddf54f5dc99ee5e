"""One optimiser step after another: gradients of a batch of triplets, clipping, AdamW, the schedule."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backfire.encoders.encoding import token_batches
from backfire.encoders.tokens import Tokens, padded
from backfire.keyed import key
from backfire.training.checkpoints import BUFFERS, State
from backfire.training.loss import violations
from backfire.training.trainable import Trainable

# Tokens that go through the network together: on a CPU what its caches hold.
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}
# A forward pass alone takes a third of the time of one with gradients, so looking first pays below this share.
LOOK_FIRST = 0.6
_OPTIMISER = "optimiser/"


@dataclass(frozen=True)
class Step:
    """What a step was: mean loss of the batch, learning rate, norm of the gradient before it was clipped, and the
    share of the batch's triplets that violate the margin."""

    loss: float
    learning_rate: float
    grad_norm: float
    active: float


class Diverged(Exception):
    """Numbers of a training are no longer finite; says where and which."""


class Stepper:
    """Trains a model by AdamW (Loshchilov and Hutter 2019) on batches of triplets.

    The learning rate rises linearly from 0 over the warm-up and falls linearly to 0 at the last step. Weight decay
    leaves out biases and the weights of normalisations. `settings` is a variant's block of the configuration.

    A satisfied triplet has no gradient. While few are violated, a batch is embedded without gradients first,
    and what is violated a second time with them: the same sum with fewer terms that are zero.
    """

    def __init__(self, model: Trainable, settings: dict, steps: int, seed: int):
        self.model, self.steps, self.seed = model, steps, seed
        self.margin, self.max_norm = settings["loss"]["margin"], settings["max_grad_norm"]
        self.peak, self.warm_up = settings["learning_rate"], round(settings["warmup_ratio"] * steps)
        self.weights = [weight for weight in model.network.parameters() if weight.requires_grad]
        self.taken = 0
        self._active = 0.0
        decay = settings["weight_decay"]
        groups = [
            {"params": [weight for weight in self.weights if weight.ndim > 1], "weight_decay": decay},
            {"params": [weight for weight in self.weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.peak, fused=True)
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)

    def step(self, tokens: Tokens, rows: np.ndarray) -> Step:
        """Take a step on the triplets whose texts in `tokens` are `rows`, (batch, 3) of query, positive, negative.

        Raises `Diverged`, with the weights as they were, when loss or gradient is not finite.
        """
        self.model.network.train()
        torch.manual_seed(key(self.seed, "dropout", self.taken))
        loss, active = self._gradients(tokens, rows)
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.max_norm).item()
        rate = self.learning_rate(self.taken)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(
                f"step {self.taken + 1}: loss {loss:.4g}, gradient norm {norm:.4g}, learning rate {rate:.4g}"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=False)
        self.taken += 1
        return Step(loss, rate, norm, active)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.peak * step / self.warm_up
        return self.peak * (self.steps - step) / max(1, self.steps - self.warm_up)

    def state(self) -> State:
        """All that the next step depends on, beside the model's start, the settings and the seed; no copies.

        The learning rate and random numbers follow from the number of steps taken, and nothing is drawn between steps.
        """
        tensors = dict(self._tensors())
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"{_OPTIMISER}{index}/{name}": value for name, value in values.items()}
        return State(tensors, {"taken": self.taken, "active": self._active})

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go on from what `state` gave for the same model, settings and seed."""
        for name, tensor in self._tensors():
            tensor.copy_(state.tensors[name])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.tensors.items():
            if name.startswith(_OPTIMISER):
                index, part = name.removeprefix(_OPTIMISER).split("/")
                moments.setdefault(int(index), {})[part] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.taken, self._active = state.notes["taken"], state.notes["active"]

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What steps change in the network, by name."""
        for name, weight in self.model.network.named_parameters():
            if weight.requires_grad:
                yield f"weights/{name}", weight.detach()
        yield from ((f"{BUFFERS}{name}", buffer) for name, buffer in self.model.network.named_buffers())

    def _gradients(self, tokens: Tokens, rows: np.ndarray) -> tuple[float, float]:
        """Add the gradient of the mean loss of a batch to the weights; gives that loss and the share violated."""
        count = len(rows)
        if self.model.repeatable and self._active < LOOK_FIRST:
            with torch.no_grad(), self._one_cast():
                found = violations(*self._in_order(self._parts(tokens, rows)), self.margin)
            active = (found > 0).cpu().numpy()
            self._backward(tokens, rows[active], count)
        else:
            found = self._backward(tokens, rows, count)
            active = (found > 0).cpu().numpy()
        share = float(active.mean())
        self._active = share
        return found.clamp(min=0).mean().item(), share

    def _backward(self, tokens: Tokens, rows: np.ndarray, count: int) -> Tensor:
        """Add the gradient of the losses of triplets over `count`; gives what they violate the margin by."""
        if not len(rows):
            return torch.zeros(0)
        with self._one_cast():
            parts = list(self._parts(tokens, rows))
            leaves = [(places, vectors.detach().requires_grad_()) for places, vectors in parts]
            found = violations(*self._in_order(leaves), self.margin)
            (found.clamp(min=0).sum() / count).backward()
            # Part by part, so that their gradients are added up in fp32 and not in the arithmetic of the transformer.
            for (_, vectors), (_, leaf) in zip(parts, leaves, strict=True):
                vectors.backward(leaf.grad)
        return found.detach()

    def _parts(self, tokens: Tokens, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Vectors of all texts of some triplets, with their places in `rows.T`, in parts of texts of like length."""
        device, texts = self.model.device, rows.T.ravel()
        lengths = padded(tokens.starts[texts + 1] - tokens.starts[texts])
        if device.type != "cpu":
            # What padding costs a GPU is less than what it costs to start kernels for each length.
            lengths[:] = lengths.max()
        # Queries come first in `texts`; a model that treats them as it treats passages may take them together.
        sides = [("document", 0, len(texts))]
        if self.model.sides_differ:
            sides = [("query", 0, len(rows)), ("document", len(rows), len(texts))]
        for kind, start, end in sides:
            for places in token_batches(lengths[start:end], BATCH_TOKENS[device.type]):
                places = places + start
                ids, mask = map(torch.from_numpy, tokens.padded(texts[places]))
                yield places, self.model.embed(ids.to(device), mask.to(device), kind)

    @staticmethod
    def _in_order(parts) -> tuple[Tensor, ...]:
        """Vectors of queries, positives and negatives, (triplets, dimensions) each."""
        places, vectors = zip(*parts, strict=True)
        return torch.cat(vectors)[np.argsort(np.concatenate(places))].chunk(3)

    def _one_cast(self):
        """Autocast keeps its copies of the weights until the outermost context ends; this one computes nothing."""
        return torch.autocast(self.model.device.type, enabled=False)
