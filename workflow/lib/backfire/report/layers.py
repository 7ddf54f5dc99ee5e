"""Which layers a training moved: a row of text for each variant, from the tables `layers`."""

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from backfire.explaining.layers import by_layer
from backfire.formats.tables import read_rows
from backfire.report.numbers import MISSING, SPACE


def layers_table(tables: Iterable[str | Path], runs: Iterable[tuple[str, int]]) -> list[dict]:
    """`variant` and `cells` of each variant: the layer that moved most and the one that moved least where training
    ended, the one with the largest gradient, and what a step changed of the weights.

    `tables` are those of `runs`, (variant, seed) each. Of several seeds means; of the looks of a training medians, but
    for the drift. Variants without a look are left out.
    """
    found: dict[str, list[Mapping[str, dict]]] = {}
    for path, (variant, _) in zip(tables, runs, strict=True):
        if looks := read_rows(path, "layers").to_pylist():
            found.setdefault(variant, []).append(by_layer(looks))
    return [{"variant": name, "cells": _cells(seeds)} for name, seeds in found.items()]


def _cells(seeds: list[Mapping[str, dict]]) -> list[str]:
    means = {
        name: {layer: value for layer in seeds[0] if (value := _mean(each[layer][name] for each in seeds)) is not None}
        for name in ("drift", "grad_norm", "update_ratio")
    }
    drift, updates = means["drift"], means["update_ratio"].values()
    return [
        _extreme(drift, max),
        _extreme(drift, min) if len(drift) > 1 else MISSING,
        max(means["grad_norm"], key=means["grad_norm"].get, default=MISSING),
        f"{_share(min(updates))} to {_share(max(updates))}" if updates else MISSING,
    ]


def _extreme(drift: Mapping[str, float], of) -> str:
    return f"{(layer := of(drift, key=drift.get))} ({_share(drift[layer])})" if drift else MISSING


def _share(value: float) -> str:
    return f"{100 * value:.2g}{SPACE}%"


def _mean(values: Iterable[float | None]) -> float | None:
    values = [value for value in values if value is not None]
    return statistics.fmean(values) if values else None
