"""Building the FAISS index of a shard of passage embeddings."""

import logging
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.embeddings import embeddings_digest, read_embeddings
from backfire.formats.index import faiss_reason, made_index, write_index

log = logging.getLogger(__name__)


def build_index(embeddings: np.ndarray, factory: str, source: str = "embeddings"):
    """Build a `faiss.Index` of inner products over float32 `embeddings` (passages x dimensions), in their order.

    `factory` is a FAISS factory string (https://github.com/facebookresearch/faiss/wiki/The-index-factory),
    such as `Flat` (exact), `HNSW32` or `IVF1024,Flat`, optionally followed by `;` and search-time parameters
    that are stored with the index, as in `IVF1024,Flat;nprobe=32`. An index that needs training is trained on
    `embeddings`, with FAISS's own fixed seed. Raises `BackfireError`, naming `source`, when there is nothing to
    index, the string does not parse, or there are too few passages to train on.
    """
    if not len(embeddings):
        raise BackfireError(
            f"{source}: holds no passage, so there is nothing to index.",
            "set encoding.shards to at most the number of passages.",
        )
    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    try:
        return made_index(factory, embeddings.shape[1], embeddings)
    except RuntimeError as error:
        raise BackfireError(
            f"{source}: FAISS cannot build the index '{factory}' over {len(embeddings)} passages of "
            f"{embeddings.shape[1]} dimensions: {faiss_reason(error)}.",
            "set encoding.index to a FAISS factory string that fits a shard of this size, such as Flat, HNSW32 "
            "or 'IVF64,Flat;nprobe=8'; an index that is trained wants some 40 passages per cluster.",
        ) from error


def index_shard(embeddings: str | Path, factory: str, output: str | Path) -> None:
    """Write the index `factory` of the corpus embeddings in the file `embeddings` to `output`."""
    _, matrix = read_embeddings(embeddings, "doc_id")
    index = build_index(matrix, factory, source=str(embeddings))
    write_index(output, index, embeddings_digest(embeddings))
    log.info("%s: %s over %d passages of %d dimensions", output, factory, index.ntotal, index.d)
