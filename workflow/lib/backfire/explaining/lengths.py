"""How long vectors are before they are scaled to unit length, over a whole corpus."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backfire.formats.embeddings import read_norms


def length_statistics(shards: Sequence[str | Path]) -> dict[str, float | None]:
    """`raw_norm`, the mean length of the passages in `shards`, and `raw_norm_variation`, their spread as a share of it.

    The spread is the standard deviation over these passages (divided by their number). Sums are in float64, one shard's
    lengths in memory at a time; shards are put together by their means and squared deviations (Chan, Golub and LeVeque
    1983, "Algorithms for computing the sample variance", The American Statistician 37), so that nothing cancels where
    all lengths are nearly the same. How passages are divided into shards shows below 1e-9 of the values. None without
    passages, and for the spread where every length is 0.
    """
    count, mean, squares = 0, 0.0, 0.0
    for shard in shards:
        lengths = read_norms(shard, "doc_id").astype(np.float64)
        if not len(lengths):
            continue
        own, total = float(lengths.mean()), count + len(lengths)
        away = own - mean
        squares += float(((lengths - own) ** 2).sum()) + away**2 * count * len(lengths) / total
        mean += away * len(lengths) / total
        count = total
    return {
        "raw_norm": mean if count else None,
        "raw_norm_variation": float(np.sqrt(squares / count) / mean) if mean > 0 else None,
    }
