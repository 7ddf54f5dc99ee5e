"""What the training curves say: means over a window at the start and at the end, with their spread.

A batch's loss says as much about the batch as about the model, so no single step stands for anything here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows
from backfire.report.numbers import ARROW, MISSING, SPACE, count, names, plain, signed
from backfire.training.watch import Alarm

DEV = "dev_"
# A window is a tenth of the steps, but at least so many where that is no more than a third of them.
TENTH, FEWEST, THIRD = 10, 8, 3


@dataclass(frozen=True)
class Ends:
    """A quantity in the first and the last window of steps: mean and standard deviation over the batches of each."""

    first: float
    first_spread: float
    last: float
    last_spread: float
    window: int
    """Steps in each of the two."""


@dataclass(frozen=True)
class Watched:
    """A development measure where training started, where it ended, and where it was highest."""

    first: float
    last: float
    best: float
    best_step: int


@dataclass(frozen=True)
class Curve:
    """The curves of one training; None for what was not recorded."""

    variant: str
    seed: int
    steps: int
    loss: Ends | None
    active: Ends | None
    drift: float | None
    """Size of the change of the weights that are kept, in relation to the weights."""
    watched: dict[str, Watched]
    """By measure."""
    kept: str
    """Which weights were saved, in words."""
    accuracy: float | None
    """Of these weights on the examples that were held out, where some were."""
    alarm: Alarm | None = None
    """The early warning, where one was given."""


def read_curves(
    tables: Iterable[str | Path], runs: Iterable[tuple[str, int]], models: Mapping[tuple[str, int], str | Path]
) -> list[Curve]:
    """The curves in the tables `dynamics` of `runs`, a (variant, seed) for each table, in their order.

    `models` has the folder of each run, where `training.json` says which weights were kept.
    """
    return [
        _curve(read_rows(table, "dynamics"), *run, read_json(Path(models[tuple(run)]) / "training.json"))
        for table, run in zip(tables, runs, strict=True)
    ]


def accuracy(notes: Mapping[str, Any]) -> float | None:
    """The share of held-out negatives that the weights which were saved put further from the query than the positive;
    None where nothing was held out. `notes` are a training's `training.json`."""
    looks = (notes["held_out"] or {"looks": []})["looks"]
    return next((found for step, _, found in looks if step == notes["kept"]["step"]), None)


def kept(notes: Mapping[str, Any]) -> str:
    """Which weights a training saved, in words; `notes` are its `training.json`."""
    apart = notes["held_out"]
    step, steps = notes["kept"]["step"], notes["kept"]["steps"]
    if notes["stopped"] and not (apart and notes["settings"]["keep"] == "best"):
        return f"step {count(step)} of {count(steps)}, where the early warning ended it"
    if not apart:
        return "the last step"
    judged = notes["settings"]["held_out"]["measure"]
    looks = {at: {"loss": loss, "accuracy": accuracy} for at, loss, accuracy in apart["looks"]}
    examples, value = count(apart["examples"], "held-out example"), f"{judged} {plain(looks[step][judged])}"
    if notes["settings"]["keep"] == "last":
        return f"the last step ({value} on {examples})"
    # The start is looked at, and not chosen.
    among = count(len(looks) - 1, "look")
    return f"step {count(step)} of {count(steps)}, best of {among} at {examples} ({value})"


def window(steps: int) -> int:
    """Steps that stand for the start of a training of so many, and as many for its end."""
    return max(1, steps // TENTH, min(FEWEST, steps // THIRD))


def ends(values: np.ndarray) -> Ends | None:
    """First and last window of one value for each step; None for no value at all."""
    if not len(values):
        return None
    part = window(len(values))
    first, last = values[:part], values[-part:]
    return Ends(*(float(of) for each in (first, last) for of in (each.mean(), each.std(ddof=int(part > 1)))), part)


def training_table(curves: Iterable[Curve]) -> tuple[list[str], list[dict]]:
    """The development measures that were watched, and a row of text for each training."""
    curves = list(curves)
    watched = sorted({name for curve in curves for name in curve.watched})
    rows = [
        {
            "variant": curve.variant,
            "seed": curve.seed,
            "cells": [
                count(curve.steps),
                curve.kept,
                _told(curve.loss, 4),
                _told(curve.active, 2),
                MISSING if curve.drift is None else f"{100 * curve.drift:.2f} %",
                "none" if curve.alarm is None else f"step {count(curve.alarm.step)} ({signed(curve.alarm.change)})",
                *(_watched(curve.watched.get(name)) for name in watched),
            ],
        }
        for curve in curves
    ]
    return watched, rows


def warnings(curves: Iterable[Curve], verdicts: Mapping[str, str], measure: str, false_alarms: float) -> list[str]:
    """What the early warnings said, and how it went with those that they were about: a sentence each.

    `verdicts`: those of the variants that make a claim at the primary place; `measure`: the one that is tested at each
    look, with a chance of `false_alarms` in a training that does no harm. No more is said where none was given.
    """
    curves = list(curves)
    warned = dict.fromkeys(curve.variant for curve in curves if curve.alarm)
    if not curves:
        return []
    if not warned:
        return [f"No training gave an early warning: of none was it shown that {measure} of the watched queries fell."]
    first = {
        name: min(curve.alarm.step for curve in curves if curve.variant == name and curve.alarm) for name in warned
    }
    best = {name: _best_look([curve for curve in curves if curve.variant == name], measure) for name in warned}
    told = [
        f"Early warning for {names(f'{name} (first at step {count(first[name])}; {best[name]})' for name in warned)}: "
        f"{measure} of the watched queries had fallen by more than chance explains, over all looks. Of "
        f"{count(len(curves), 'training')} that do no harm some {false_alarms * len(curves):.2g} would warn by chance."
    ]
    judged = {name: verdicts[name] for name in warned if name in verdicts}
    others = dict.fromkeys(curve.variant for curve in curves if curve.variant not in warned)
    quiet = {name: verdicts[name] for name in others if name in verdicts}
    harmed, missed = (names(n for n, verdict in each.items() if verdict == "HARMS") for each in (judged, quiet))
    spared = names(name for name, verdict in judged.items() if verdict == "HELPS")
    told.append(f"Of these {harmed or 'none'} backfired on the queries of the verdict.")
    if spared:
        told.append(f"It was wrong about {spared}, which helped there.")
    if missed:
        told.append(f"It said nothing of {missed}, which backfired there.")
    return told


def _best_look(curves: Sequence[Curve], measure: str) -> str:
    """Where the measure that is tested was best, over the trainings of a variant."""
    steps = {curve.watched[measure].best_step for curve in curves if measure in curve.watched}
    if steps == {0}:
        return "the start was its best look"
    return f"its best look was step {names(map(count, sorted(steps)), 'or')}"


def _curve(table: pa.Table, variant: str, seed: int, notes: Mapping[str, Any]) -> Curve:
    steps, drift = _present(table, "weight_drift")
    drift = drift[steps <= notes["kept"]["step"]]
    return Curve(
        variant=variant,
        seed=seed,
        steps=max(table["step"].to_pylist(), default=0),
        loss=ends(_present(table, "loss")[1]),
        active=ends(_present(table, "active_triplets")[1]),
        drift=float(drift[-1]) if len(drift) else None,
        watched={
            name.removeprefix(DEV): _extremes(*found)
            for name in table.column_names
            if name.startswith(DEV) and len((found := _present(table, name))[0])
        },
        kept=kept(notes),
        accuracy=accuracy(notes),
        alarm=Alarm(**notes["alarm"]) if notes["alarm"] else None,
    )


def _present(table: pa.Table, column: str) -> tuple[np.ndarray, np.ndarray]:
    steps, values = table["step"].to_numpy(), table[column].to_numpy().astype(float)
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def _extremes(steps: np.ndarray, values: np.ndarray) -> Watched:
    best = int(values.argmax())
    return Watched(float(values[0]), float(values[-1]), float(values[best]), int(steps[best]))


def _told(found: Ends | None, digits: int) -> str:
    if found is None:
        return MISSING
    pairs = ((found.first, found.first_spread), (found.last, found.last_spread))
    told = (f"{plain(mean, digits)}{SPACE}\N{PLUS-MINUS SIGN}{SPACE}{plain(spread, digits)}" for mean, spread in pairs)
    return f" {ARROW} ".join(told)


def _watched(found: Watched | None) -> str:
    if found is None:
        return MISSING
    best = f"best {plain(found.best, 3)} at step {found.best_step:,}"
    return f"{plain(found.first, 3)} {ARROW} {plain(found.last, 3)} ({best})"
