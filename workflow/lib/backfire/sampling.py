"""A sample that depends on ids alone: the same passages for every model, shard count and order."""

import hashlib
import heapq
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.tables import read_embeddings


def sample_key(seed: int, identifier: str) -> bytes:
    """The place of an id in the order that samples are cut from: SHA-256 of (seed, id), 32 bytes."""
    return hashlib.sha256(f"{seed}\t{identifier}".encode()).digest()


def sample_ids(ids: Iterable[str], size: int, seed: int) -> list[str]:
    """The `size` ids with the smallest keys (all, when there are fewer), in the order of their keys.

    A larger sample with the same seed holds the smaller one.
    """
    return heapq.nsmallest(size, ids, key=lambda identifier: (sample_key(seed, identifier), identifier))


def sample_embeddings(
    shards: Iterable[str | Path], size: int, seed: int, also: Collection[str] = frozenset()
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Read a keyed sample of passages out of embedding shards, one shard in memory at a time.

    Returns the sampled ids in key order, their vectors as a float64 matrix (passages, dimensions) scaled to
    unit norm, and the vectors of those ids of `also` that the shards hold. Raises `BackfireError` for shards
    of different widths, or a vector without a direction.
    """
    shards, also = list(shards), frozenset(also)
    kept: dict[str, np.ndarray] = {}
    wanted: dict[str, np.ndarray] = {}
    for shard in shards:
        ids, matrix = read_embeddings(shard, "doc_id")
        rows = {identifier: row for row, identifier in enumerate(ids)}
        # Only a shard's own smallest keys can be among the smallest of all.
        for identifier in sample_ids(ids, size, seed):
            kept[identifier] = matrix[rows[identifier]].copy()
        kept = {identifier: kept[identifier] for identifier in sample_ids(kept, size, seed)}
        for identifier in also.intersection(rows):
            wanted[identifier] = matrix[rows[identifier]].copy()
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
