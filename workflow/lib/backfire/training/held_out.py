"""Examples that a training does not see: which they are, looks at them, and the weights of the best look."""

from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from backfire.errors import BackfireError
from backfire.keyed import keyed_sample
from backfire.training.checkpoints import State
from backfire.training.data import Examples, read_examples
from backfire.training.steps import Diverged, Stepper

LOSS, ACCURACY = "held_out_loss", "held_out_accuracy"
_KEPT = "kept/"


def held_out(triples: str, share: float, by: str, seed: int) -> np.ndarray:
    """(examples,) true for each example of a triple table that is held out: a share of its queries, or of its examples.

    They are those with the smallest keys of `seed` and id, so that a larger share holds the smaller one, and the order
    of the table does not matter. By `query` no query is both trained on and looked at; by `example` one may be, with
    another passage. Raises `BackfireError` where none would be held out, or none left.
    """
    columns = read_examples(triples)
    ids = columns[0] if by == "query" else pc.binary_join_element_wise(*columns, "\x1f")
    ids = ids.combine_chunks().dictionary_encode()
    known = ids.dictionary.to_pylist()
    count = round(share * len(known))
    if not 0 < count < len(known):
        what = f"{len(known)} {'queries' if by == 'query' else 'examples'}"
        raise BackfireError(
            f"{triples}: held_out.share is {share:g}, and of the {what} there it holds out {count or 'none'}.",
            "set a share that leaves some on either side, or take more triples.",
        )
    chosen = set(keyed_sample(known, count, seed, "held out"))
    return np.array([each in chosen for each in known])[ids.indices.to_numpy()]


class HeldOut:
    """Looks at `examples` that `stepper` does not train on: at the start, after each epoch of `epoch` steps, every
    `interval` steps where a number is set, and at the end.

    `settings` is a variant's block of the configuration. With `keep: best` the weights of the look with the lowest
    loss, or the highest accuracy, are remembered in main memory, of equal ones the earliest; the start is none of them.
    Where `examples` is None there are no looks.
    """

    def __init__(self, stepper: Stepper, examples: Examples | None, settings: dict[str, Any], epoch: int):
        self._stepper, self._examples, self._epoch = stepper, examples, epoch
        self._batch = settings["batch_size"]
        self._best = settings["keep"] == "best"
        if examples is not None:
            self._interval, self._measure = settings["held_out"]["interval"], settings["held_out"]["measure"]
        self._weights: dict[str, Tensor] = {}
        self._step, self._value = stepper.steps, float("-inf")

    def look(self, step: int, ended: bool = False) -> dict[str, float]:
        """The columns held_out_loss and held_out_accuracy after `step`, where it is looked at, as it is where training
        has `ended` before its last step; see `Stepper.judge`.

        Raises `Diverged` when the loss is not finite.
        """
        if self._examples is None or not (ended or self._due(step)):
            return {}
        found = self._stepper.judge(self._examples, self._batch)
        loss, accuracy = found.loss, found.accuracy
        if not np.isfinite(loss):
            raise Diverged(f"the loss of the held-out examples is {loss:.4g}")
        value = accuracy if self._measure == "accuracy" else -loss
        if self._best and step and value > self._value:
            self._step, self._value = step, value
            self._weights = {name: tensor.to("cpu", copy=True) for name, tensor in self._stepper.tensors()}
        return {LOSS: loss, ACCURACY: accuracy}

    def state(self) -> State:
        """What the looks so far have left; the weights are no copies."""
        tensors = {f"{_KEPT}{name}": tensor for name, tensor in self._weights.items()}
        return State(tensors, {"kept": [self._step, self._value]} if tensors else {})

    def restore(self, state: State) -> None:
        """Go on from a state that holds what `state` gave."""
        self._weights = {
            name.removeprefix(_KEPT): tensor for name, tensor in state.tensors.items() if name.startswith(_KEPT)
        }
        if self._weights:
            self._step, self._value = state.notes["kept"]

    @torch.no_grad()
    def settle(self) -> int:
        """Put the weights that are kept into the model, once the last step is taken; gives the step that left them."""
        if not self._weights:
            return self._stepper.taken
        for name, tensor in self._stepper.tensors():
            tensor.copy_(self._weights[name])
        return self._step

    def _due(self, step: int) -> bool:
        within = self._interval is not None and step % self._interval == 0
        return within or step % self._epoch == 0 or step == self._stepper.steps
