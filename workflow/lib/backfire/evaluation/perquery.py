"""The per-query store as matrices: the table `measures`, the only source of every number that is compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.errors import BackfireError
from backfire.formats.tables import read_rows

Place = tuple[str, str, str]
"""(collection, split, measure)"""

_AGAIN = "delete results/<study>/measures/ and results/<study>/measures.parquet and run again"


@dataclass(frozen=True)
class Scores:
    """Values of one variant at one place: shape (seeds, queries), both in ascending order of their names."""

    seeds: list[int]
    queries: list[str]
    values: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """A query's mean over the seeds, shape (queries,)."""
        return self.values.mean(axis=0)


@dataclass(frozen=True)
class Store:
    """{place: {variant: scores}}, asked by name."""

    scores: Mapping[Place, Mapping[str, Scores]]

    def at(self, place: Place, variant: str) -> Scores:
        """The scores of a variant; raises `BackfireError` when it was not measured there."""
        found = self.scores.get(place, {}).get(variant)
        if found is None:
            raise BackfireError(
                f"{variant} has no values of {place[2]} on {place[0]}/{place[1]}.",
                f"{_AGAIN}; a measure that was not taken is not a zero.",
            )
        return found

    def differences(self, place: Place, variant: str, reference: str) -> np.ndarray:
        """Values of `variant` less those of `reference`, paired by query: shape (seeds of `variant`, queries).

        Seeds are paired too where both have the same ones, else each is paired with the reference's mean. Raises
        `BackfireError` when the two were not measured on the same queries.
        """
        tuned, base = self.at(place, variant), self.at(place, reference)
        if tuned.queries != base.queries:
            unpaired = sorted(set(tuned.queries) ^ set(base.queries))
            raise BackfireError(
                f"{'/'.join(place)}: {variant} was measured on {len(tuned.queries)} queries, {reference} on "
                f"{len(base.queries)}, and they are not the same (query '{unpaired[0]}').",
                f"variants are compared on the same queries; {_AGAIN}.",
            )
        paired = base.values if base.seeds == tuned.seeds else base.means
        # Averages over seeds of equal values may differ from them in the last bit, which is no difference.
        return np.where(np.isclose(tuned.values, paired, rtol=1e-12, atol=1e-15), 0.0, tuned.values - paired)


def read_store(*paths: str | Path, only: Place | None = None) -> Store:
    """Read tables `measures`, one or several that make one; of one place if `only` says so.

    Raises `BackfireError` for a value that is no finite number, for a row that occurs twice, and where a seed lacks a
    query that another seed of the variant has.
    """
    table = pa.concat_tables(read_rows(path, "measures") for path in paths)
    for column, wanted in zip(("collection", "split", "measure"), only or (), strict=False):
        table = table.filter(pc.equal(table[column], wanted))
    table = table.to_pandas()
    scores: dict[Place, dict[str, Scores]] = {}
    for (variant, *place), rows in table.groupby(["variant", "collection", "split", "measure"], sort=True):
        where = f"{paths[0]}: {variant} at {'/'.join(place)}"
        finite = np.isfinite(rows["value"].to_numpy(dtype=float, na_value=np.nan))
        if not finite.all():
            raise BackfireError(
                f"{where}: query '{rows['query_id'][~finite].iloc[0]}' has no finite value ({(~finite).sum()} such).",
                f"{_AGAIN}; if it stays, remove the measure: it has no value for every query.",
            )
        twice = rows.duplicated(["seed", "query_id"])
        if twice.any():
            row = rows[twice].iloc[0]
            raise BackfireError(
                f"{where}: query '{row['query_id']}' stands twice for seed {row['seed']} ({twice.sum()} such rows).",
                f"a part was copied over another; {_AGAIN}.",
            )
        # Query ids are text and sort as text, so nothing depends on the order of the rows.
        grid = rows.pivot(index="seed", columns="query_id", values="value")
        if grid.isna().to_numpy().any():
            seed, query = next(iter(grid.stack(future_stack=True)[lambda cells: cells.isna()].index))
            raise BackfireError(
                f"{where}: seed {seed} has no value for query '{query}', which another seed has.", f"{_AGAIN}."
            )
        scores.setdefault(tuple(place), {})[variant] = Scores(
            [int(seed) for seed in grid.index], [str(query) for query in grid.columns], grid.to_numpy(dtype=float)
        )
    return Store(scores)
