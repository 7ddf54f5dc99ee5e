"""Vectors of the texts that a training sees, by a model that is not trained, read from what the study has on disk."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.errors import BackfireError
from backfire.formats.embeddings import EMBEDDING_ROWS, embeddings_digest, extended, iterate_embeddings


@dataclass(frozen=True)
class ModelVectors:
    """Where a model's vectors of the training `queries` and of the shards of the `corpus` are."""

    queries: str
    corpus: tuple[str, ...]

    @classmethod
    def at(cls, files: list[str]) -> "ModelVectors | None":
        """The files of the queries and then of the corpus; None for no file at all."""
        return cls(files[0], tuple(files[1:])) if files else None

    def digests(self) -> list[int | None]:
        """What tells these vectors from others, file by file, by the checksums that they were written with."""
        return [embeddings_digest(path) for path in (self.queries, *self.corpus)]

    def of(self, query_ids: list[str], doc_ids: list[str]) -> np.ndarray:
        """Vectors as they are on disk, (queries + passages, dimensions) float32, in the order of the ids.

        Memory is the result, 4 bytes for each text and dimension, and a row group. Raises `BackfireError` when one is
        missing.
        """
        dimensions = next(iterate_embeddings(self.queries, "query_id", 1))[1].shape[1] - extended(self.queries)
        found = np.empty((len(query_ids) + len(doc_ids), dimensions), np.float32)
        _fill(found[: len(query_ids)], [self.queries], "query_id", query_ids)
        _fill(found[len(query_ids) :], self.corpus, "doc_id", doc_ids)
        return found


def _fill(found: np.ndarray, paths: list[str], id_column: str, wanted: list[str]) -> None:
    """Put the vectors of the wanted ids into the rows of `found`, (ids, dimensions)."""
    values, missing = pa.array(wanted, pa.string()), np.ones(len(wanted), bool)
    for path in paths:
        for ids, matrix in iterate_embeddings(path, id_column, EMBEDDING_ROWS):
            places = pc.index_in(pa.array(ids, pa.string()), value_set=values).fill_null(-1).to_numpy()
            found[places[places >= 0]] = matrix[places >= 0, : found.shape[1]]
            missing[places[places >= 0]] = False
    if missing.any():
        raise BackfireError(
            f"{paths[0]}: there is no vector of {id_column} '{wanted[int(np.argmax(missing))]}' "
            f"({int(missing.sum())} missing), which a training takes for its loss.",
            "the vectors belong to other data; delete them and run again.",
        )
