"""Training dynamics: what a model does while it trains, one row per step."""

import math
from collections.abc import Callable

import torch
from transformers import TrainerCallback

from backfire.errors import BackfireError
from backfire.training.adapters import delta_norm_squared


class StepRecorder(TrainerCallback):
    """Collects one row per optimiser step, and development measures every `interval` steps, first and last included.

    Rows hold step, loss, learning_rate, grad_norm (before clipping), active_triplets (share of the batch that violates
    the margin), weight_drift, and `dev_<measure>` where measured. weight_drift is the Frobenius norm of the change
    since training started over that of the weights it started from, for LoRA of the change that merging would make.
    """

    def __init__(self, model, loss, measure: Callable[[], dict[str, float]], interval: int, bar):
        """`measure` gives development measures of the model as it is now; `bar` is a progress bar of the steps."""
        self.rows: list[dict] = []
        self._model, self._loss, self._measure = model, loss, measure
        self._interval, self._bar = interval, bar
        self._lora = hasattr(model[0].model, "peft_config")
        with torch.no_grad():
            self._start = [] if self._lora else [weight.detach().clone() for weight in model.parameters()]
            self._norm = math.sqrt(sum(weight.pow(2).sum().item() for weight in _base_weights(model)))

    def on_train_begin(self, args, state, control, **_):
        """Row of step 0: where the model starts."""
        self.rows.append({"step": 0, "weight_drift": 0.0, **self._development()})

    def on_log(self, args, state, control, logs=None, **_):
        """Row of a step, from what the trainer logs."""
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise BackfireError(
                f"the loss is {loss} at step {state.global_step}.",
                "training diverged; lower the learning rate, or set precision: fp32 for this variant.",
            )
        row = {
            "step": state.global_step,
            "loss": loss,
            "learning_rate": float(logs["learning_rate"]),
            "grad_norm": float(logs["grad_norm"]),
            "active_triplets": self._loss.active,
            "weight_drift": self._drift(),
        }
        if state.global_step % self._interval == 0 or state.global_step == state.max_steps:
            row |= self._development()
        self.rows.append(row)
        self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self._bar.update(1)

    def _development(self) -> dict[str, float]:
        return {f"dev_{name}": value for name, value in self._measure().items()}

    @torch.no_grad()
    def _drift(self) -> float:
        if self._lora:
            squared = delta_norm_squared(self._model)
        else:
            pairs = zip(self._model.parameters(), self._start, strict=True)
            squared = sum((weight - start).pow(2).sum().item() for weight, start in pairs)
        return math.sqrt(squared) / self._norm


def _base_weights(model):
    return (weight for name, weight in model.named_parameters() if "lora_" not in name)
