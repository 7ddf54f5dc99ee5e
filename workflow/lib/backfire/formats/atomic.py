"""Writing by rename: a file that exists under its name is whole, also after a power cut."""

import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.formats.sums import write_sums
from backfire.jobs.faults import explained, refused

_SEAL = "crc32"
_AGAIN = "delete it and run again."


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; move it onto `path` when the body succeeds, remove it when not.

    The body may create a file or a folder there; the folder of a model gets the checksums of its files (see `sums`).
    What a killed process left under a temporary name of `path` is removed. Raises `BackfireError` where the machine
    refuses to write, as on a full disk.
    """
    path = Path(path)
    # The suffix stays last, since writers of figures and models choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield temporary
        if any(temporary.rglob("*.safetensors")):
            write_sums(temporary)
        _force(temporary)
        if temporary.is_dir() and path.exists():
            _remove(path)
        temporary.replace(path)
    except BaseException as error:
        # Asked first, since it tells what is free while the half-written file is there.
        refusal = refused(error, path) if isinstance(error, Exception) else None
        # Where nothing can be written, nothing can be removed.
        with suppress(OSError):
            _remove(temporary)
        if refusal is not None:
            raise refusal from error
        raise


def write_json(path: str | Path, value: Any, sealed: bool = True) -> None:
    """Write plain data as indented JSON with sorted keys; an object gets a checksum of its content as key `crc32`.

    `sealed` is false for files that other programs read by their keys.
    """
    if sealed and isinstance(value, dict):
        if _SEAL in value:
            raise ValueError(f"{path}: the key {_SEAL} is taken")
        value = {**value, _SEAL: _checksum(json.loads(json.dumps(value, allow_nan=False)))}
    with replacing(path) as temporary:
        layout = {"indent": 2, "sort_keys": True, "allow_nan": False}
        try:
            content = json.dumps(value, ensure_ascii=False, **layout).encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair has no UTF-8, but an escape.
            content = json.dumps(value, **layout).encode()
        temporary.write_bytes(content + b"\n")


def read_json(path: str | Path) -> Any:
    """Read what `write_json` wrote, sealed where it is an object.

    Raises `BackfireError` when the file is missing or its content is not what was written.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    # A damaged text is no UTF-8, no JSON, or a number of too many digits.
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        if (refusal := explained(error, path)) is not None:
            raise refusal from error
        reason = getattr(error, "strerror", None) or str(error)
        raise BackfireError(
            f"{path}: not a readable JSON file ({reason}).", "it is missing, cut short or damaged; " + _AGAIN
        ) from error
    if isinstance(value, dict) and value.pop(_SEAL, None) != _checksum(value):
        raise BackfireError(
            f"{path}: its content is not what was written (its {_SEAL} differs or is missing).",
            "it was damaged or edited; " + _AGAIN,
        )
    return value


def _checksum(value: Any) -> str:
    """CRC-32 of plain JSON data, whatever the order and the layout of a file."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def _force(path: Path) -> None:
    """Wait until the disk has what was written, in a folder every file of it.

    A disk may refuse (full, over quota, broken) only what was already taken from a program, and tell it at `fsync` or
    when the file is closed, where some libraries do not listen.
    """
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def _remove_leftovers(path: Path) -> None:
    """Remove temporary names of `path` whose process is gone; on another machine that may be an orphan, which fails."""
    name = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.partial{re.escape(path.suffix)}")
    for leftover in path.parent.iterdir():
        found = name.fullmatch(leftover.name)
        if found and (int(found[1]) == os.getpid() or not Path(f"/proc/{found[1]}").exists()):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
