"""FAISS index files: one per embeddings shard, its rows in the order of the shard's passages."""

import re
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.atomic import replacing
from backfire.formats.seals import check_behind, seal_behind
from backfire.jobs.faults import explained

_POSITION = re.compile(r"^Error in .* at \S+\.(?:cpp|h):\d+: ")
_CONDITION = re.compile(r"^Error: '.*' failed: (?=.)")


def made_index(factory: str, dimensions: int, vectors: np.ndarray | None = None):
    """A `faiss.Index` of inner products after a factory string, trained on `vectors` where it must be and holding them.

    What follows a `;` are parameters of its search, set at the end. Raises FAISS's own `RuntimeError` (see
    `faiss_reason`) for a string that does not parse or vectors that are too few.
    """
    import faiss

    structure, _, parameters = factory.partition(";")
    index = faiss.index_factory(dimensions, structure.strip(), faiss.METRIC_INNER_PRODUCT)
    if vectors is not None:
        if not index.is_trained:
            index.train(vectors)
        index.add(vectors)
    if parameters.strip():
        faiss.ParameterSpace().set_index_parameters(index, parameters.strip())
    return index


def write_index(path: str | Path, index, source: int | None = None) -> None:
    """Write a `faiss.Index`, atomically, with a checksum behind it, which FAISS does not read.

    `source` is the digest of the embeddings that it was built from (see `embeddings_digest`).
    """
    import faiss

    with replacing(path) as temporary:
        faiss.write_index(index, str(temporary))
        seal_behind(temporary, source)


def read_index(path: str | Path, source: int | None = None):
    """Read the `faiss.Index` that `write_index` wrote, as its own class (`IndexFlat`, `IndexIVFFlat`, ...).

    Raises `BackfireError` when the file is missing, is not as it was written, or was built from other embeddings than
    those with the digest `source`, where both are known.
    """
    import faiss

    try:
        built_from = check_behind(path)
        if None not in (source, built_from) and source != built_from:
            raise BackfireError(
                f"{path}: the index was built from other embeddings.",
                "it was copied over another, or the embeddings were; delete both and run again.",
            )
        return faiss.read_index(str(path))
    except (RuntimeError, OSError, MemoryError) as error:
        if (refusal := explained(error, path)) is not None:
            raise refusal from error
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


def faiss_reason(error: Exception) -> str:
    """What FAISS complains about, without the position in its sources; or the operating system."""
    if getattr(error, "strerror", None):
        return error.strerror
    return _CONDITION.sub("", _POSITION.sub("", next(iter(str(error).strip().splitlines()), type(error).__name__)))
