"""Vectors of texts on disk: Parquet with an id, a float32 vector and its norm a row, and in what they were computed.

The norm is the length that a vector had before it was scaled to unit length, which an `embedding` of unit length has
lost: the direction times the norm is what the model pooled.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backfire.errors import BackfireError
from backfire.formats.parquet import guarded, guarded_batches, opened, writing
from backfire.formats.seals import parquet_digest
from backfire.formats.tables import text_column

# Rows of embeddings that are written and read at once; 12 MiB at 384 dimensions.
EMBEDDING_ROWS = 8192
_ARITHMETIC = b"arithmetic"
# That of vectors which are looked up.
NO_PRODUCTS = "none"
# Where vectors have one number more than the model's, for a search by distance (see `encoders.similarity`).
_EXTENDED = b"extended"
_NORM = "norm"


def write_embeddings(
    path: str | Path,
    id_column: str,
    ids: list[str],
    embeddings: np.ndarray,
    arithmetic: str = "fp32",
    extended: bool = False,
    norms: np.ndarray | None = None,
) -> None:
    """Write float32 `embeddings` of shape (len(ids), dimensions) beside their ids.

    `id_column` is `doc_id` or `query_id`. The rows are stored as given: of unit norm, unless the model is one for dot
    products or distances. `norms` (len(ids),) are their lengths before they were scaled to unit norm; None: they were
    not, and each has the length that it is given with. The file's metadata keep `arithmetic` (fp32, bf16, fp16, or
    `NO_PRODUCTS`), what they were computed in, and whether they are `extended`: the last number of each is none of the
    model's (see `encoders.similarity`). Raises `BackfireError` when a value is not finite.
    """
    if norms is None:
        norms = np.linalg.norm(np.asarray(embeddings[:, :-1] if extended else embeddings, np.float64), axis=1)
    write_embedding_batches(path, id_column, [(ids, embeddings, norms)], arithmetic, extended)


def write_embedding_batches(
    path: str | Path,
    id_column: str,
    batches: Iterable[tuple[list[str], np.ndarray, np.ndarray]],
    arithmetic: str = "fp32",
    extended: bool = False,
) -> None:
    """Write (ids, embeddings, norms) one after another as `write_embeddings` does, in memory bounded by one of them.

    The bytes do not depend on where they are cut, as long as each but the last has a multiple of `EMBEDDING_ROWS`
    rows. Raises `ValueError` for no batch at all.
    """
    metadata = {_ARITHMETIC: arithmetic} | ({_EXTENDED: "1"} if extended else {})
    with writing(path, compression="none", use_dictionary=False) as write:
        for ids, embeddings, norms in batches:
            table = _embeddings_table(path, id_column, ids, embeddings, norms)
            write(table.replace_schema_metadata(metadata), EMBEDDING_ROWS)


def one_arithmetic(paths: Iterable[str | Path]) -> None:
    """Raise `BackfireError` unless all embeddings were computed in the same arithmetic, as their files say.

    A difference of effectiveness between them would be one of arithmetic as well. Vectors that no product made
    (`NO_PRODUCTS`) are the same in any.
    """
    known: dict[str, str] = {}
    for path in paths:
        metadata = opened(path, []).schema_arrow.metadata or {}
        known.setdefault(metadata.get(_ARITHMETIC, b"unknown").decode(), str(path))
    known.pop(NO_PRODUCTS, None)
    if len(known) > 1:
        raise BackfireError(
            "embeddings of different arithmetic are not compared: "
            + "; ".join(f"{path} is of {arithmetic}" for arithmetic, path in sorted(known.items()))
            + ".",
            f"set encoding.precision to one that every machine has ({' or '.join(sorted(known))}), and run again.",
        )


def extended(path: str | Path) -> bool:
    """Whether vectors have one number more than the model's."""
    return _EXTENDED in (opened(path, []).schema_arrow.metadata or {})


def read_vectors(path: str | Path, id_column: str) -> tuple[list[str], np.ndarray]:
    """Ids and vectors (see `read_embeddings`) as the model gives them, without what a search needs beside them."""
    ids, matrix = read_embeddings(path, id_column)
    return ids, matrix[:, :-1] if extended(path) else matrix


def read_embeddings(path: str | Path, id_column: str) -> tuple[list[str], np.ndarray]:
    """Read ids and the float32 matrix of shape (ids, dimensions) that `write_embeddings` wrote.

    Memory is the matrix, the ids, and one row group.
    """
    file = _embeddings_file(path, id_column)
    nothing = [], np.empty((0, file.schema_arrow.types[1].list_size), dtype=np.float32)
    return next(_embedding_pieces(path, file, file.metadata.num_rows), nothing)


def read_embedding_ids(path: str | Path, id_column: str) -> list[str]:
    """Read the ids alone of what `write_embeddings` wrote, in order."""
    file = _embeddings_file(path, id_column, [id_column])
    return guarded(path, lambda: file.read([id_column]))[id_column].to_pylist()


def read_norms(path: str | Path, id_column: str) -> np.ndarray:
    """Read the norms alone of what `write_embeddings` wrote, (rows,) float32, in order."""
    file = _embeddings_file(path, id_column, [_NORM])
    return guarded(path, lambda: file.read([_NORM]))[_NORM].to_numpy()


def embeddings_digest(path: str | Path) -> int | None:
    """32 bits by which an index knows the embeddings that it was built from; None where they carry no checksums."""
    return guarded(path, lambda: parquet_digest(path))


def iterate_embeddings(path: str | Path, id_column: str, rows: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Read what `write_embeddings` wrote in pieces of `rows` rows, the last one shorter, one in memory at a time."""
    yield from _embedding_pieces(path, _embeddings_file(path, id_column), rows)


def _embeddings_table(path, id_column: str, ids: list[str], embeddings: np.ndarray, norms: np.ndarray) -> pa.Table:
    embeddings, norms = (np.ascontiguousarray(each, dtype=np.float32) for each in (embeddings, norms))
    finite = np.isfinite(embeddings).all(axis=1) & np.isfinite(norms)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise BackfireError(
            f"{path}: the embedding of {id_column} '{ids[row]}' is not finite.",
            "the model diverged in training or half precision overflowed; look at the dynamics, or set "
            "encoding.precision to fp32.",
        )
    values = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    return pa.table({id_column: text_column(id_column, ids).cast(pa.string()), "embedding": values, _NORM: norms})


def _embeddings_file(path, id_column: str, columns: list[str] | None = None) -> pq.ParquetFile:
    file = opened(path, columns)
    schema, expected = file.schema_arrow, [id_column, "embedding", _NORM]
    if schema.names != expected or not pa.types.is_fixed_size_list(schema.types[1]):
        raise BackfireError(
            f"{path}: columns {schema.names}, expected {expected} with a fixed-size list.",
            "delete the file and run again; it was not written by this version of Backfire.",
        )
    return file


def _embedding_pieces(path, file: pq.ParquetFile, rows: int) -> Iterator[tuple[list[str], np.ndarray]]:
    left, dimensions = file.metadata.num_rows, file.schema_arrow.types[1].list_size
    ids, matrix = [], np.empty((min(rows, left), dimensions), dtype=np.float32)
    for batch in guarded_batches(path, file, EMBEDDING_ROWS):
        while len(batch):
            part = batch.slice(0, len(matrix) - len(ids))
            batch = batch.slice(len(part))
            values = part["embedding"].flatten().to_numpy(zero_copy_only=False)
            matrix[len(ids) : len(ids) + len(part)] = values.reshape(-1, dimensions)
            ids += part[0].to_pylist()
            if len(ids) == len(matrix):
                yield ids, matrix
                left -= len(ids)
                ids, matrix = [], np.empty((min(rows, left), dimensions), dtype=np.float32)
