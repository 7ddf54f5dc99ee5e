"""The primary measure query by query: base beside every trained variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.evaluation.perquery import read_store

BASE = "base"


@dataclass(frozen=True)
class Paired:
    """Values of one measure; every array has a place for each of `queries`, which are sorted."""

    queries: list[str]
    base: np.ndarray
    seeds: dict[str, np.ndarray]
    """Values of each trained variant, (seeds, queries), its first seed first."""

    def mean(self, variant: str) -> np.ndarray:
        """A variant's values, each the mean of its seeds; exactly base's where only rounding tells them apart."""
        mean = self.seeds[variant].mean(axis=0)
        # Averages over seeds of equal values may differ from them in the last bit, which is no win.
        return np.where(np.isclose(mean, self.base, rtol=1e-12, atol=1e-15), self.base, mean)

    def difference(self, variant: str) -> np.ndarray:
        """A variant's values less base's."""
        return self.mean(variant) - self.base


def read_paired(measures: str | Path, models: Sequence[Sequence], primary: Sequence[str]) -> Paired:
    """The values of `primary` (collection, split, measure) in the table `measures`.

    `models` are (variant, first seed) of base and of each trained variant. Raises `BackfireError` as `read_store` and
    `Store` do: when one of them was not measured, or not on the same queries as base.
    """
    place = tuple(primary)
    store = read_store(measures, only=place)
    matrices = {}
    for variant, first in models:
        scores = store.at(place, variant)
        store.differences(place, variant, BASE)
        if first not in scores.seeds:
            raise BackfireError(
                f"{variant} seed {first} has no values of {primary[2]} on {primary[0]}/{primary[1]}.",
                "delete results/<study>/measures.parquet and run again; a measure that was not taken is not a zero.",
            )
        ordered = [first, *(seed for seed in scores.seeds if seed != first)]
        matrices[variant] = scores.values[[scores.seeds.index(seed) for seed in ordered]]
    base = matrices.pop(BASE).mean(axis=0)
    return Paired(store.at(place, BASE).queries, base, matrices)
