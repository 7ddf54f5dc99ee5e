"""Checksums that travel inside a file, so that damage done behind our back is told and never computed with.

CRC-32 finds every change within 32 neighbouring bits, and misses another with a probability of 2^-32. It is no
protection against somebody who wants to deceive. A core takes some 4 GB/s, so a seal costs less than reading.

A Parquet file gets its seal between its last page and its footer, where readers do not look: a CRC-32 for each column
chunk, so that a few columns can be checked without reading the others, and one over those and the footer. (The page
checksums of the format leave out page headers and footer, where one byte can turn values into others.) Any other file
whose readers stop where its content ends gets a seal behind it.
"""

import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from backfire.errors import BackfireError

# How a Parquet file says in its footer that it is sealed, since a seal that is overwritten cannot tell.
MARK = {"backfire": "sealed"}

_MAGIC = b"BKFRcrc1"
# The seal of a Parquet file ends, and one behind a file is: a number (of chunks; or what was sealed with), and a CRC.
_END = struct.Struct("<II8s")
_PARQUET_TAIL = struct.Struct("<I4s")
_READ = 1 << 20


def seal_parquet(path: Path) -> None:
    """Put the seal into a Parquet file that carries `MARK`, in place."""
    import pyarrow.parquet as pq

    with path.open("r+b") as stream:
        start, footer = _footer(stream)
        with pq.ParquetFile(path, pre_buffer=False) as file:
            sums = [_crc(stream, *place) for _, place in _chunks(file.metadata)]
        packed = struct.pack(f"<{len(sums)}I", *sums)
        head = packed + struct.pack("<I", len(sums))
        stream.seek(start)
        stream.write(packed + _END.pack(len(sums), zlib.crc32(footer, zlib.crc32(head)), _MAGIC) + footer)


def parquet_digest(path: str | Path) -> int | None:
    """32 bits that depend on every byte of a sealed Parquet file; None where there is no seal.

    Reads the end of the file alone. Raises `BackfireError` where the footer is not as it was sealed.
    """
    with Path(path).open("rb") as stream:
        found = _parquet_seal(path, stream)
    return found[0] if found else None


def check_parquet(path: str | Path, metadata, columns: Collection[str] | None = None) -> None:
    """Raise `BackfireError` unless the `columns`, or all, hold the bytes they were written with.

    `metadata` is the `pyarrow.parquet.FileMetaData` of the file. A file that was never sealed is not checked.
    """
    with Path(path).open("rb") as stream:
        found = _parquet_seal(path, stream)
        if found is None:
            if any((metadata.metadata or {}).get(key.encode()) == value.encode() for key, value in MARK.items()):
                raise damaged(path)
            return
        for (column, place), expected in zip(_chunks(metadata), found[1], strict=True):
            if (columns is None or column in columns) and _crc(stream, *place) != expected:
                raise damaged(path)


def seal_behind(path: Path, source: int | None) -> None:
    """Put a seal behind the content of a file, in place; `source` is the digest of the file it was made from."""
    with path.open("r+b") as stream:
        crc = _crc(stream, 0, stream.seek(0, 2))
        number = struct.pack("<I", source or 0)
        stream.seek(0, 2)
        stream.write(_END.pack(source or 0, zlib.crc32(number, crc), _MAGIC))


def check_behind(path: str | Path) -> int | None:
    """The digest of the file that this one was made from, None where it is not known.

    Raises `BackfireError` when the file is not as it was sealed, or has no seal.
    """
    with Path(path).open("rb") as stream:
        length = stream.seek(0, 2) - _END.size
        if length < 0:
            raise damaged(path)
        stream.seek(length)
        source, expected, magic = _END.unpack(stream.read(_END.size))
        if magic != _MAGIC or zlib.crc32(struct.pack("<I", source), _crc(stream, 0, length)) != expected:
            raise damaged(path)
    return source or None


def damaged(path: str | Path) -> BackfireError:
    """The error for a file whose bytes are not those it was written with."""
    return BackfireError(
        f"{path}: its bytes are not those it was written with (its checksum differs).",
        "it was cut short, damaged or edited; delete it and run again. If this happens again, suspect the disk.",
    )


def _parquet_seal(path: str | Path, stream: BinaryIO) -> tuple[int, tuple[int, ...]] | None:
    """The digest of a sealed Parquet file and the CRC-32 of each column chunk, once the footer is found as sealed."""
    place = _footer(stream)
    if place is None or place[0] < _END.size:
        return None
    start, footer = place
    stream.seek(start - _END.size)
    count, digest, magic = _END.unpack(stream.read(_END.size))
    if magic != _MAGIC:
        return None
    begin = start - _END.size - 4 * count
    if begin < 0:
        raise damaged(path)
    stream.seek(begin)
    packed = stream.read(4 * count)
    if zlib.crc32(footer, zlib.crc32(packed + struct.pack("<I", count))) != digest:
        raise damaged(path)
    return digest, struct.unpack(f"<{count}I", packed)


def _footer(stream: BinaryIO) -> tuple[int, bytes] | None:
    """Where the footer of a Parquet file begins, and all bytes from there; None where there can be none."""
    size = stream.seek(0, 2)
    if size < _PARQUET_TAIL.size:
        return None
    stream.seek(size - _PARQUET_TAIL.size)
    length, _ = _PARQUET_TAIL.unpack(stream.read(_PARQUET_TAIL.size))
    start = size - _PARQUET_TAIL.size - length
    if start < 0:
        return None
    stream.seek(start)
    return start, stream.read()


def _chunks(metadata):
    """(column, (position, bytes)) of every column chunk, in the order of the file."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place in range(row_group.num_columns):
            chunk = row_group.column(place)
            first = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
            yield chunk.path_in_schema.split(".")[0], (first, chunk.total_compressed_size)


def _crc(stream: BinaryIO, start: int, length: int) -> int:
    """CRC-32 of a part of a file, which may end early."""
    buffer = memoryview(bytearray(min(length, _READ) or 1))
    stream.seek(start)
    crc = 0
    while length > 0 and (count := stream.readinto(buffer[: min(length, len(buffer))])):
        crc = zlib.crc32(buffer[:count], crc)
        length -= count
    return crc
