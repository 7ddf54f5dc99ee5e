"""Parquet files as such: written whole and sealed, opened only as they were sealed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from backfire.errors import BackfireError
from backfire.formats.atomic import replacing
from backfire.formats.seals import MARK, check_parquet, parquet_digest, seal_parquet
from backfire.jobs.faults import explained


@contextmanager
def writing(path, **options) -> Iterator[Callable]:
    """A function that writes a table as row groups of a sealed Parquet file, which the first one gives its columns."""
    writer = None

    def write(table: pa.Table, row_group_size: int | None = None) -> None:
        nonlocal writer
        writer = writer or pq.ParquetWriter(stream, table.schema, **options)
        if len(table):
            writer.write_table(table, row_group_size)

    with replacing(path) as temporary:
        # By Python's stream, since Arrow's own does not say why a file could not be closed.
        with temporary.open("wb") as stream:
            try:
                yield write
                if writer is None:
                    raise ValueError(f"{path}: no batch, so no columns")
                writer.add_key_value_metadata(MARK)
            finally:
                if writer is not None:
                    writer.close()
        seal_parquet(temporary)


def opened(path, columns: list[str] | None = None) -> pq.ParquetFile:
    """A Parquet file of which the `columns`, or all, are known to hold what was written."""
    # The footer first, since a damaged one is not for a parser.
    guarded(path, lambda: parquet_digest(path))
    file = guarded(path, lambda: pq.ParquetFile(path, pre_buffer=False))
    guarded(path, lambda: check_parquet(path, file.metadata, columns))
    return file


def guarded(path, read: Callable):
    """What `read()` gives; whatever goes wrong with the file becomes a `BackfireError` that names it."""
    try:
        return read()
    # Arrow's errors are some of these, and some of their own.
    except (pa.ArrowException, OSError, ValueError, RuntimeError, MemoryError, KeyError) as error:
        if (refusal := explained(error, path)) is not None:
            raise refusal from error
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise BackfireError(
            f"{path}: not a readable Parquet file ({reason}).",
            "it is missing, cut short or damaged; delete it and run again.",
        ) from error


def guarded_batches(path, file: pq.ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a file that was `opened`, at most `rows` at a time."""
    batches = file.iter_batches(batch_size=rows)
    while (batch := guarded(path, lambda: next(batches, None))) is not None:
        yield batch
