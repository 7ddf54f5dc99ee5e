"""Training dynamics: what a model does while it trains, one row per step."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from backfire.evaluation.measures import Values, mean
from backfire.training.layers import Layers, layer_names
from backfire.training.steps import Diverged, Step
from backfire.training.trainable import Trainable
from backfire.training.watch import Alarm, Watch

# Where a row keeps the values of all queries, so that they pass through checkpoints with it.
LOOK = "development"
# And where it keeps how each layer moved.
LAYERS = "layers"
# What the column of a term of the loss begins with.
TERM = "loss_"


class Recorder:
    """Collects one row per optimiser step, and development measures every `interval` steps, first and last included.

    Rows hold step, loss, learning_rate, grad_norm (before clipping), active_triplets (share of the batch that is
    active, None without a margin), weight_drift, `loss_<term>` where the loss is a weighted sum, `dev_<measure>` where
    measured, with the columns of `DevelopmentSet.look` and of `watch`, and held_out_loss and held_out_accuracy where
    examples that are held out were looked at. weight_drift is the Frobenius norm of the change since training started
    over that of the weights it started from, for adapters of the change that merging would make. At each look it is
    taken by layer too (see `Layers`).
    """

    def __init__(
        self,
        model: Trainable,
        measure: Callable[[], tuple[Values, dict[str, float]]],
        interval: int,
        steps: int,
        look: Callable[[int], dict[str, float]],
        watch: Watch,
    ):
        """`measure` gives development measures of the model as it is now, which is where it starts, by query, and
        columns that describe it; `look` columns of held-out examples after a step, none where it is not looked; `watch`
        warns of harm.

        Then `begin` comes, or `rows` are those of an earlier attempt.
        """
        self._model, self._measure, self._interval, self._steps, self._look = model, measure, interval, steps, look
        self._watch = watch
        self.development_seconds = 0.0
        self._layers, self._layer = Layers(model.network, model.norms), layer_names(model.network)
        self._norm = math.hypot(*model.norms.values())
        self._start = []
        if model.adapters is None:
            self._start = [
                (self._layer(name), weight, weight.detach().clone())
                for name, weight in model.network.named_parameters()
            ]
        else:
            # Adapters name their layers within the module that they are in.
            found = (name for name, each in model.network.named_modules() if each is model.transformer)
            self._within = "".join(f"{name}." for name in found if name)
        self.rows: list[dict] = []

    def begin(self) -> None:
        """Row 0, which says where the model starts."""
        when, drift = "before the first step", math.hypot(*self._changed().values()) / self._norm
        self.rows = [{"step": 0, "weight_drift": drift, **self._development(when), **self._held_out(0, when)}]

    def layers_at(self, number: int) -> Layers | None:
        """What a step has to show its layers to; None where that step is not looked at."""
        return self._layers if self._looked(number) else None

    def add(self, step: Step) -> None:
        """The row of the next step. Raises `Diverged` when it left weights or vectors that are not finite."""
        number, changed = len(self.rows), self._changed()
        drift = math.hypot(*changed.values()) / self._norm
        after = (
            f"after step {number}: loss {step.loss:.4g}, gradient norm {step.grad_norm:.4g}, learning rate "
            f"{step.learning_rate:.4g}, weight drift {drift:.4g}"
        )
        if not math.isfinite(drift):
            raise Diverged(f"the weights are not finite {after}")
        row = {
            "step": number,
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            "active_triplets": step.active,
            "weight_drift": drift,
            **{f"{TERM}{name}": value for name, value in step.terms.items()},
            **self._held_out(number, after),
        }
        if self._looked(number):
            row |= self._development(after) | {LAYERS: self._layers.rows(changed)}
        self.rows.append(row)
        self._watch.follow(self.rows, LOOK)

    def go_on(self, rows: list[dict]) -> None:
        """Go on after the rows of an earlier attempt."""
        self.rows = rows
        self._watch.follow(rows, LOOK)

    @property
    def alarm(self) -> Alarm | None:
        """The early warning, where one was given so far."""
        return self._watch.alarm

    @property
    def curves(self) -> list[dict]:
        """Rows of the table `dynamics`."""
        return [{name: value for name, value in row.items() if name not in (LOOK, LAYERS)} for row in self.rows]

    @property
    def layers(self) -> list[dict]:
        """Rows of the table `layers`."""
        return [{"step": row["step"], **each} for row in self.rows for each in row.get(LAYERS, ())]

    @property
    def looks(self) -> list[dict]:
        """Rows of the table `development`: the value of every query at each look, of which the curves hold means."""
        return [
            {"step": row["step"], "measure": name, "query_id": query_id, "value": value}
            for row in self.rows
            for name, values in row.get(LOOK, {}).items()
            for query_id, value in sorted(values.items())
        ]

    def _development(self, when: str) -> dict[str, Any]:
        begun = time.perf_counter()
        try:
            values, described = self._measure()
        except Diverged as error:
            raise Diverged(f"{error} {when}") from error
        self.development_seconds += time.perf_counter() - begun
        return {f"dev_{name}": mean(found.values()) for name, found in values.items()} | described | {LOOK: values}

    def _held_out(self, step: int, when: str) -> dict[str, float]:
        try:
            return self._look(step)
        except Diverged as error:
            raise Diverged(f"{error} {when}") from error

    def _looked(self, number: int) -> bool:
        return number % self._interval == 0 or number == self._steps

    @torch.no_grad()
    def _changed(self) -> dict[str, float]:
        """The norm of what training has changed, by layer."""
        if self._model.adapters is not None:
            found = self._model.adapters.delta_norms_squared()
            parts = ((self._layer(f"{self._within}{name}"), each) for name, each in found.items())
        else:
            squares = [(weight - start).pow_(2).sum() for _, weight, start in self._start]
            parts = zip((layer for layer, _, _ in self._start), torch.stack(squares).tolist(), strict=True)
        squared: dict[str, float] = {}
        for layer, each in parts:
            squared[layer] = squared.get(layer, 0.0) + each
        return {layer: math.sqrt(each) for layer, each in squared.items()}
