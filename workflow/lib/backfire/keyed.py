"""Counter-based randomness: choices that depend on what is chosen, never on order, shard or thread."""

import hashlib
import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def key(*parts: object) -> int:
    """A uniform 64-bit number that depends on `parts` alone, the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def keyed_share(*parts: object) -> float:
    """A uniform number, 0 or more and less than 1, that depends on `parts` alone."""
    return (key(*parts) >> 11) / 2**53


def keyed_sample(ids: Iterable[str], size: int, *salt: object) -> list[str]:
    """The `size` ids with the smallest keys (all, when there are fewer), in the order of their keys.

    A larger sample with the same salt holds the smaller one.
    """
    return [row_id for _, row_id in heapq.nsmallest(size, ((key(*salt, row_id), row_id) for row_id in ids))]


def keyed_rng(*parts: object) -> "np.random.Generator":
    """A random stream that depends on `parts` alone, so that one computation's draws do not shift another's."""
    import numpy as np

    return np.random.default_rng(key(*parts))
