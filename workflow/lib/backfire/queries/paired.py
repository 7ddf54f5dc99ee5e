"""The primary measure query by query: base beside every trained variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.tables import read_rows

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

    `models` are (variant, first seed) of base and of each trained variant. Raises `BackfireError` when one of them
    was not measured, or not on the same queries as base.
    """
    found = _values(measures, primary)
    place = "/".join(primary)
    for variant, first in models:
        if first not in found.get(variant, {}):
            raise BackfireError(
                f"{variant} seed {first} has no values of {primary[2]} on {primary[0]}/{primary[1]}.",
                "delete results/<study>/measures.parquet and run again; a measure that was not taken is not a zero.",
            )
    queries = sorted(next(iter(found[BASE].values())))
    matrices = {}
    for variant, first in models:
        runs = found[variant]
        for seed, run in runs.items():
            if sorted(run) != queries:
                raise BackfireError(
                    f"{place}: {variant} seed {seed} was measured on {len(run)} queries, base on {len(queries)}, and "
                    "they are not the same.",
                    "variants are compared on the same queries; delete results/<study>/measures/ and run again.",
                )
        ordered = [first, *sorted(runs.keys() - {first})]
        matrices[variant] = np.array([[runs[seed][query_id] for query_id in queries] for seed in ordered])
    base = matrices.pop(BASE).mean(axis=0)
    return Paired(queries, base, matrices)


def _values(path: str | Path, primary: Sequence[str]) -> dict[str, dict[int, dict[str, float]]]:
    """{variant: {seed: {query_id: value}}} of one (collection, split, measure)."""
    import pyarrow.compute as pc

    table = read_rows(path, "measures")
    for column, wanted in zip(("collection", "split", "measure"), primary, strict=True):
        table = table.filter(pc.equal(table[column], wanted))
    values: dict[str, dict[int, dict[str, float]]] = {}
    columns = (table[column].to_pylist() for column in ("variant", "seed", "query_id", "value"))
    for variant, seed, query_id, value in zip(*columns, strict=True):
        values.setdefault(variant, {}).setdefault(seed, {})[query_id] = value
    return values
