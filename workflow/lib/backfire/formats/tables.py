"""The Parquet tables of a study: their columns, and how they are written and read."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backfire.errors import BackfireError
from backfire.formats.parquet import guarded, guarded_batches, opened, writing
from backfire.formats.seals import parquet_digest
from backfire.formats.text import half_a_pair

_text, _whole, _real = pa.string(), pa.int32(), pa.float64()

SCHEMAS: dict[str, pa.Schema] = {
    "corpus": pa.schema([("doc_id", _text), ("text", _text)]),
    "tokens": pa.schema([("doc_id", _text), ("tokens", pa.list_(pa.int32()))]),
    "queries": pa.schema([("query_id", _text), ("text", _text)]),
    "qrels": pa.schema([("query_id", _text), ("doc_id", _text), ("relevance", _whole)]),
    "candidates": pa.schema([("query_id", _text), ("doc_id", _text), ("rank", _whole), ("score", pa.float32())]),
    # One row per word: the passages that hold it and how often it stands in them. The row of the empty word counts
    # all passages and all words.
    "terms": pa.schema([("word", _text), ("passages", pa.int64()), ("occurrences", pa.int64())]),
    # One row for each negative; `example`, from 0, is the same in the rows, one after another, of one example.
    "triples": pa.schema(
        [
            ("example", _whole),
            ("query_id", _text),
            ("positive_id", _text),
            ("negative_id", _text),
            ("source", _text),
            ("rank", _whole),
            ("base_score", pa.float32()),
        ]
    ),
    "measures": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("query_id", _text),
            ("value", _real),
        ]
    ),
    # Means over the queries of the split; tied_queries: those whose value depends on the order of equal scores.
    "ties": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("queries", _whole),
            ("tied_queries", _whole),
            ("worst", _real),
            ("value", _real),
            ("best", _real),
        ]
    ),
    # family: "claims" are adjusted for one another, what "explores" for all that does; empty for base itself.
    # p: sign-flip test; p_t: paired t test; p_seeds: t test over seeds and queries, empty for one seed; p_adjusted:
    # step-down maxT for claims (with several seeds at least p_holm), Benjamini-Hochberg else;
    # mde: minimum detectable effect; seed_share: share of the variance of delta that is due to seeds.
    "comparison": pa.schema(
        [
            ("variant", _text),
            ("reference", _text),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("family", _text),
            ("seeds", _whole),
            ("queries", _whole),
            ("mean", _real),
            ("reference_mean", _real),
            ("delta", _real),
            ("relative", _real),
            ("ci_low", _real),
            ("ci_high", _real),
            ("p", _real),
            ("p_adjusted", _real),
            ("p_holm", _real),
            ("p_t", _real),
            ("p_seeds", _real),
            ("d_z", _real),
            ("wins", _whole),
            ("ties", _whole),
            ("losses", _whole),
            ("margin", _real),
            ("p_equivalence", _real),
            ("p_equivalence_adjusted", _real),
            ("p_noninferiority", _real),
            ("p_noninferiority_adjusted", _real),
            ("one_sided_low", _real),
            ("one_sided_high", _real),
            ("fewest_queries", _whole),
            ("mde", _real),
            ("queries_needed", _whole),
            ("seeds_needed", _whole),
            ("seed_share", _real),
            ("verdict", _text),
            ("retention", _text),
        ]
    ),
    # What was chosen among candidates, and by which values: means over queries and seeds on the watched split.
    "selection": pa.schema(
        [
            ("selection", _text),
            ("variant", _text),
            ("collection", _text),
            ("split", _text),
            ("measure", _text),
            ("queries", _whole),
            ("seeds", _whole),
            ("mean", _real),
            ("chosen", pa.bool_()),
        ]
    ),
    # direction: "loss" or "gain"; place counts from 1 within it. The lists, of one length, name the passages that the
    # answer changed places with. A rank is null below the depth of the run.
    "moved": pa.schema(
        [
            ("variant", _text),
            ("direction", _text),
            ("place", _whole),
            ("query_id", _text),
            ("query", _text),
            ("base_value", _real),
            ("variant_value", _real),
            ("delta", _real),
            ("base_rank", _whole),
            ("variant_rank", _whole),
            ("answer_id", _text),
            ("answer", _text),
            ("passage_ids", pa.list_(_text)),
            ("passage_texts", pa.list_(_text)),
            ("passage_base_ranks", pa.list_(_whole)),
            ("passage_variant_ranks", pa.list_(_whole)),
        ]
    ),
    # rho, p and p_adjusted are of the whole (variant, factor) and the same in each of its strata.
    "strata": pa.schema(
        [
            ("variant", _text),
            ("factor", _text),
            ("stratum", _text),
            ("place", _whole),
            ("low", _real),
            ("high", _real),
            ("queries", _whole),
            ("delta", _real),
            ("ci_low", _real),
            ("ci_high", _real),
            ("rho", _real),
            ("p", _real),
            ("p_adjusted", _real),
        ]
    ),
    # own: the study's own protocol, with delta 0 and no interval; changed: queries whose value differs from it.
    "protocol": pa.schema(
        [
            ("collection", _text),
            ("split", _text),
            ("factor", _text),
            ("choice", _text),
            ("own", pa.bool_()),
            ("measure", _text),
            ("queries", _whole),
            ("mean", _real),
            ("delta", _real),
            ("ci_low", _real),
            ("ci_high", _real),
            ("changed", _whole),
        ]
    ),
    "geometry": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("collection", _text),
            ("quantity", _text),
            ("value", _real),
            ("unit", _text),
        ]
    ),
    "cost": pa.schema([("variant", _text), ("seed", _whole), ("quantity", _text), ("value", _real), ("unit", _text)]),
    # kind: "passage" or "query"; x, y: UMAP coordinates in the base's map.
    "projection": pa.schema(
        [
            ("variant", _text),
            ("seed", _whole),
            ("kind", _text),
            ("id", _text),
            ("x", pa.float32()),
            ("y", pa.float32()),
        ]
    ),
    # What the means of development measures in `dynamics` are of.
    "development": pa.schema([("step", _whole), ("measure", _text), ("query_id", _text), ("value", _real)]),
    # Followed by one float column for each measure taken on the development queries, named `dev_<measure>`, by
    # `held_out_loss` and `held_out_accuracy` where examples were held out, and by one for each term of a loss that is a
    # weighted sum, named `loss_<term>`, before its weight.
    "dynamics": pa.schema(
        [
            ("step", _whole),
            ("loss", _real),
            ("learning_rate", _real),
            ("grad_norm", _real),
            ("active_triplets", _real),
            ("weight_drift", _real),
        ]
    ),
}

# Rows of embeddings that are written and read at once; 12 MiB at 384 dimensions.
EMBEDDING_ROWS = 8192
_ARITHMETIC = b"arithmetic"


def write_rows(path: str | Path, kind: str, rows: Iterable[dict] | pa.Table) -> None:
    """Write rows (dicts keyed by column name) or a table as the Parquet table `kind`, atomically.

    Extra columns are kept only in `dynamics`, as float64. Raises `KeyError` for an unknown kind and
    `pyarrow.ArrowInvalid` for values that do not fit their column.
    """
    schema = SCHEMAS[kind]
    if isinstance(rows, pa.Table):
        table = rows.select(schema.names).cast(schema)
    else:
        rows = list(rows)
        if kind == "dynamics":
            extra = sorted({name for row in rows for name in row} - set(schema.names))
            schema = pa.schema([*schema, *((name, _real) for name in extra)])
        table = _table(rows, schema)
    with writing(path) as write:
        write(table)


def write_batches(path: str | Path, kind: str, batches: Iterable[list[dict] | pa.Table]) -> int:
    """Write lists of rows or tables one row group at a time, in memory bounded by one; gives the number of rows."""
    schema, count = SCHEMAS[kind], 0
    with writing(path) as write:
        write(_table([], schema))
        for rows in batches:
            write(rows.cast(schema) if isinstance(rows, pa.Table) else _table(rows, schema))
            count += len(rows)
    return count


def read_rows(path: str | Path, kind: str, columns: list[str] | None = None) -> pa.Table:
    """Read the Parquet table `kind`, its columns checked against the schema; `columns` keeps only those."""
    file, expected = opened(path, columns), SCHEMAS[kind]
    found = file.schema_arrow if kind != "dynamics" else pa.schema(list(file.schema_arrow)[: len(expected)])
    _check(path, kind, found, expected)
    return guarded(path, lambda: file.read(columns))


def iterate_rows(path: str | Path, kind: str, rows: int = 65536) -> Iterator[pa.RecordBatch]:
    """Read the Parquet table `kind` in batches of at most `rows`, in bounded memory."""
    file = opened(path)
    _check(path, kind, file.schema_arrow, SCHEMAS[kind])
    yield from guarded_batches(path, file, rows)


def write_embeddings(
    path: str | Path, id_column: str, ids: list[str], embeddings: np.ndarray, arithmetic: str = "fp32"
) -> None:
    """Write float32 `embeddings` of shape (len(ids), dimensions) beside their ids.

    `id_column` is `doc_id` or `query_id`. The rows are stored as given: of unit norm, unless the model is one for dot
    products. `arithmetic` (fp32, bf16 or fp16) is what they were computed in, and is kept in the file's metadata.
    Raises `BackfireError` when a value is not finite.
    """
    write_embedding_batches(path, id_column, [(ids, embeddings)], arithmetic)


def write_embedding_batches(
    path: str | Path, id_column: str, batches: Iterable[tuple[list[str], np.ndarray]], arithmetic: str = "fp32"
) -> None:
    """Write (ids, embeddings) one after another as `write_embeddings` does, in memory bounded by one of them.

    The bytes do not depend on where they are cut, as long as each but the last has a multiple of `EMBEDDING_ROWS`
    rows. Raises `ValueError` for no batch at all.
    """
    with writing(path, compression="none", use_dictionary=False) as write:
        for ids, embeddings in batches:
            table = _embeddings_table(path, id_column, ids, embeddings)
            write(table.replace_schema_metadata({_ARITHMETIC: arithmetic}), EMBEDDING_ROWS)


def one_arithmetic(paths: Iterable[str | Path]) -> None:
    """Raise `BackfireError` unless all embeddings were computed in the same arithmetic, as their files say.

    On a cluster of several kinds of nodes `precision: auto` may mean another one in each job. A difference of
    effectiveness between them would be one of arithmetic as well.
    """
    known: dict[str, str] = {}
    for path in paths:
        metadata = opened(path, []).schema_arrow.metadata or {}
        known.setdefault(metadata.get(_ARITHMETIC, b"unknown").decode(), str(path))
    if len(known) > 1:
        raise BackfireError(
            "embeddings of different arithmetic are not compared: "
            + "; ".join(f"{path} is of {arithmetic}" for arithmetic, path in sorted(known.items()))
            + ".",
            f"set encoding.precision to one that every machine has ({' or '.join(sorted(known))}), and run again.",
        )


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


def embeddings_digest(path: str | Path) -> int | None:
    """32 bits by which an index knows the embeddings that it was built from; None where they carry no checksums."""
    return guarded(path, lambda: parquet_digest(path))


def iterate_embeddings(path: str | Path, id_column: str, rows: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Read what `write_embeddings` wrote in pieces of `rows` rows, the last one shorter, one in memory at a time."""
    yield from _embedding_pieces(path, _embeddings_file(path, id_column), rows)


def _embeddings_table(path, id_column: str, ids: list[str], embeddings: np.ndarray) -> pa.Table:
    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    if not np.isfinite(embeddings).all():
        row = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
        raise BackfireError(
            f"{path}: the embedding of {id_column} '{ids[row]}' is not finite.",
            "the model diverged in training or half precision overflowed; look at the dynamics, or set "
            "encoding.precision to fp32.",
        )
    values = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    return pa.table({id_column: _column(id_column, ids).cast(_text), "embedding": values})


def _embeddings_file(path, id_column: str, columns: list[str] | None = None) -> pq.ParquetFile:
    file = opened(path, columns)
    schema = file.schema_arrow
    if schema.names != [id_column, "embedding"] or not pa.types.is_fixed_size_list(schema.types[1]):
        raise BackfireError(
            f"{path}: columns {schema.names}, expected {[id_column, 'embedding']} with a fixed-size list.",
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


def _table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    """Rows as a table; inferred first and then cast, since pyarrow truncates 0.5 silently where it is told int32."""
    columns = [_column(field.name, [row.get(field.name) for row in rows]).cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(name: str, values: list) -> pa.Array:
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise half_a_pair(name, error) from error


def _check(path, kind: str, found: pa.Schema, expected: pa.Schema) -> None:
    if not found.equals(expected):
        raise BackfireError(
            f"{path}: columns {dict(zip(found.names, map(str, found.types), strict=True))}, expected the table "
            f"'{kind}' with {dict(zip(expected.names, map(str, expected.types), strict=True))}.",
            "delete the file and run again; it was not written by this version of Backfire.",
        )
