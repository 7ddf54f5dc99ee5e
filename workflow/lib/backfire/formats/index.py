"""FAISS index files: one per embeddings shard, its rows in the order of the shard's passages."""

import re
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.atomic import replacing

_POSITION = re.compile(r"^Error in .* at \S+\.(?:cpp|h):\d+: ")
_CONDITION = re.compile(r"^Error: '.*' failed: (?=.)")


def write_index(path: str | Path, index) -> None:
    """Write a `faiss.Index`, atomically."""
    import faiss

    with replacing(path) as temporary:
        faiss.write_index(index, str(temporary))


def read_index(path: str | Path):
    """Read the `faiss.Index` that `write_index` wrote, as its own class (`IndexFlat`, `IndexIVFFlat`, ...).

    Raises `BackfireError` when the file is missing or is not a whole index.
    """
    import faiss

    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise BackfireError(
            f"{path}: not a readable FAISS index ({faiss_reason(error)}).",
            "it is missing, cut short or damaged; delete it and run again.",
        ) from error


def flat_vectors(index) -> np.ndarray | None:
    """The float32 vectors (vectors x dimensions) that a Flat index holds; None for any other index.

    They are not copied: keep the index for as long as the array.
    """
    import faiss

    if not isinstance(index, faiss.IndexFlat):
        return None
    return faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)


def faiss_reason(error: RuntimeError) -> str:
    """What FAISS complains about, without the position in its sources."""
    return _CONDITION.sub("", _POSITION.sub("", str(error).strip().splitlines()[0]))
