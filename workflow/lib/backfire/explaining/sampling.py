"""A sample of embedded passages: the same passages for every model, shard count and order."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.embeddings import read_vectors
from backfire.keyed import keyed_sample


def sample_embeddings(
    shards: Iterable[str | Path], size: int, seed: int, also: Collection[str] = frozenset()
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Read a keyed sample of passages (see `keyed`) out of embedding shards, one in memory at a time.

    Returns the sampled ids in key order, their vectors as a float64 matrix (passages, dimensions) scaled to
    unit norm, and the vectors of those ids of `also` that the shards hold. Raises `BackfireError` for shards
    of different widths, or a vector without a direction.
    """
    shards, also = list(shards), frozenset(also)
    kept: dict[str, np.ndarray] = {}
    wanted: dict[str, np.ndarray] = {}
    for shard in shards:
        ids, matrix = read_vectors(shard, "doc_id")
        rows = {identifier: row for row, identifier in enumerate(ids)}
        # Only a shard's own smallest keys can be among the smallest of all.
        for identifier in keyed_sample(ids, size, seed):
            kept[identifier] = matrix[rows[identifier]].copy()
        kept = {identifier: kept[identifier] for identifier in keyed_sample(kept, size, seed)}
        for identifier in also.intersection(rows):
            wanted[identifier] = matrix[rows[identifier]].copy()
        # Else this shard would stay in memory while the next one is read.
        del ids, matrix, rows
    ids = list(kept)
    if len({len(vector) for vector in (*kept.values(), *wanted.values())}) > 1:
        raise BackfireError(
            f"the embedding shards {', '.join(map(str, shards))} differ in their number of dimensions.",
            "delete them and run again; they were written by different models.",
        )
    matrix = unit_rows(np.stack([kept[identifier] for identifier in ids]), ids) if ids else np.empty((0, 0))
    names = sorted(wanted)
    others = unit_rows(np.stack([wanted[name] for name in names]), names) if names else []
    return ids, matrix, dict(zip(names, others, strict=True))


def unit_rows(matrix: np.ndarray, ids: list[str]) -> np.ndarray:
    """The rows of `matrix` (ids, dimensions) as float64 of unit norm; `BackfireError` for a row of zeros."""
    matrix = np.asarray(matrix, dtype=np.float64)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not norms.all():
        raise BackfireError(
            f"the embedding of '{ids[int(np.flatnonzero(norms[:, 0] == 0)[0])]}' is all zeros.",
            "the model gives no direction for this text; check its text and the model.",
        )
    return matrix / norms
