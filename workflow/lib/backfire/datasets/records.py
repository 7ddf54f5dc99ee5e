"""Records of passages, queries and judgments in the files of a folder, each with the place it stands in.

JSON lines, Parquet, and tables of tab- or comma-separated text; all but Parquet may be packed with gzip. Ids stay as
they are written: a parser that guesses types would make 1 of 01, and a date of 2020-01-01.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backfire.datasets.layout import ending
from backfire.errors import BackfireError
from backfire.jobs.faults import explained, reading

BATCH = 4096

Record = tuple[str, dict[str, Any]]
"""Where it stands (file:line, or file and row), and its values by name."""


def records(
    path: str, wanted: Callable[[str], bool], named: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[Record]:
    """The records of a file, in its order. Of Parquet only the `wanted` columns are read.

    `named` gives the names of the columns of a table of text from its first line: that line itself where it is a
    header. Raises `BackfireError` that names file and line for what cannot be read.
    """
    kind = ending(path, (".parquet", ".jsonl", ".json", ".tsv", ".csv"))
    if kind == ".parquet":
        yield from _parquet(path, wanted)
    elif kind in (".tsv", ".csv"):
        yield from _table(path, "," if kind == ".csv" else "\t", named)
    else:
        yield from objects(path)


def count(path: str) -> int:
    """Records of a file, a header counted as one."""
    if path.endswith(".parquet"):
        return _opened(path).metadata.num_rows
    return sum(1 for _ in lines(path))


def lines(path: str, blank: bool = False) -> Iterator[tuple[int, str]]:
    """(line number, line without its end) of the lines, without those that are blank unless these are asked for."""
    number = 0
    try:
        with reading(path), gzip.open(path, "rb") if path.endswith(".gz") else Path(path).open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if blank or text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        packed = error.object.startswith(b"\x1f\x8b")
        raise BackfireError(
            f"{path}:{number}: not UTF-8 ({error.reason}).",
            "it is packed with gzip: name it .gz." if packed else "save the file as UTF-8.",
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BackfireError(
            f"{path}: cannot be unpacked after line {number} ({error}).",
            "the file was cut short or damaged; fetch it again.",
        ) from error


def objects(path: str) -> Iterator[Record]:
    """The JSON object of every line."""
    for number, line in lines(path):
        where = f"{path}:{number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise BackfireError(
                f"{where}: not a JSON object but {short(line)} ({error.msg} at column {error.colno}).",
                "each line is one whole JSON object, with control characters escaped (NUL as \\u0000); a broken last "
                "line means that the file was cut short, and a file that is one JSON array has to be written as lines.",
            ) from error
        if not isinstance(entry, dict):
            raise BackfireError(
                f"{where}: found {short(line)}, expected a JSON object.",
                'a line looks like {"_id": "7", "text": "..."}.',
            )
        yield where, entry


def short(text: str) -> str:
    """A piece of a file as part of a line."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _table(path: str, separator: str, named: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[Record]:
    names: Sequence[str] = ()
    for where, row in rows(path, separator):
        if not names:
            names = named(row)
            if list(names) == row:
                continue
        if len(row) != len(names):
            raise BackfireError(
                f"{where}: found {len(row)} column(s) in {short(separator.join(row))}, expected {len(names)}: "
                f"{', '.join(names)}.",
                f"columns are separated by {'a comma' if separator == ',' else 'one tab'}; a text that holds one goes "
                "into JSON lines.",
            )
        yield where, dict(zip(names, row, strict=True))


def rows(path: str, separator: str) -> Iterator[tuple[str, list[str]]]:
    """(file:line, columns) of a table of text: tab-separated without quotes, or comma-separated with them."""
    if separator != ",":
        for number, line in lines(path):
            yield f"{path}:{number}", line.split(separator)
        return
    # By default a column may have 128 KiB; and a quoted one may go over several lines.
    csv.field_size_limit(1 << 30)
    reader = csv.reader((f"{line}\n" for _, line in lines(path, blank=True)), strict=True)
    try:
        for row in reader:
            if row:
                yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise BackfireError(
            f"{path}:{reader.line_num}: not comma-separated text ({error}).",
            "put a column that holds a comma or a quote in quotes, and double the quotes in it.",
        ) from error


def _parquet(path: str, wanted: Callable[[str], bool]) -> Iterator[Record]:
    file = _opened(path)
    names = file.schema_arrow.names
    columns = [name for name in names if wanted(name)]
    row = 0
    batches = file.iter_batches(BATCH, columns=columns)
    while (batch := _guarded(path, lambda: next(batches, None))) is not None:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row += 1
            yield f"{path}: row {row}", dict(zip(columns, values, strict=True))
        if not columns:
            # What is missing is told by whoever asks for it, from what there is.
            yield f"{path}: row 1", dict.fromkeys(names)
            return


def _opened(path: str) -> pq.ParquetFile:
    return _guarded(path, lambda: pq.ParquetFile(path, pre_buffer=False))


def _guarded(path: str, read: Callable) -> Any:
    try:
        return read()
    except (pa.ArrowException, OSError, ValueError, RuntimeError, MemoryError) as error:
        if (refusal := explained(error, path)) is not None:
            raise refusal from error
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise BackfireError(
            f"{path}: not a readable Parquet file ({reason}).", "it was cut short or damaged; fetch or write it again."
        ) from error
