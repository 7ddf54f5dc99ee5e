"""How the Parquet tables of a study are written and read."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from backfire.errors import BackfireError
from backfire.formats.parquet import guarded, guarded_batches, opened, writing
from backfire.formats.schemas import SCHEMAS
from backfire.formats.text import half_a_pair


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
            schema = pa.schema([*schema, *((name, pa.float64()) for name in extra)])
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


def _table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    """Rows as a table; inferred first and then cast, since pyarrow truncates 0.5 silently where it is told int32."""
    columns = [text_column(field.name, [row.get(field.name) for row in rows]).cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def text_column(name: str, values: list) -> pa.Array:
    """A column of values; a `BackfireError` names the one of text that holds half of a surrogate pair."""
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
