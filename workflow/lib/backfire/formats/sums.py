"""The checksums of a folder's files in its `SHA256SUMS`, as `sha256sum` writes and checks them."""

import hashlib
from functools import cache
from pathlib import Path

from backfire.errors import BackfireError
from backfire.jobs.faults import reading

NAME = "SHA256SUMS"
# What a model is loaded from. Other files may come and go.
_KINDS = {".json", ".model", ".safetensors", ".txt"}
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest of a file's bytes, hexadecimal. Raises `BackfireError` where the machine refuses to read it."""
    with reading(path), Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def write_sums(folder: Path) -> None:
    """Write the checksums of all files in a folder and below."""
    lines = [f"{_sha256(file)}  {name}" for name, file in _files(folder).items()]
    (folder / NAME).write_text(
        "".join(f"{_escaped(line)}\n" for line in lines), encoding="utf-8", errors="surrogateescape"
    )


def check_sums(folder: Path) -> None:
    """Raise `BackfireError` unless the files of a folder are those that its checksums were taken of.

    A folder without checksums is not checked. In one process a file that was not touched is read once.
    """
    try:
        with reading(folder / NAME):
            lines = (folder / NAME).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except FileNotFoundError:
        return
    listed = set(lines)
    expected = {name: _escaped(f"{digest}  {name}") for name, digest in model_sums(folder).items()}
    for name, line in expected.items():
        if line not in listed:
            raise BackfireError(
                f"{folder / name}: it is not the file that {folder / NAME} was taken of.",
                f"it was damaged or replaced; delete the folder and run again. To use it as it is, delete its {NAME}.",
            )
    lost = [line for line in lines if line and line not in expected.values() and Path(line[66:]).suffix in _KINDS]
    if lost or lines[-1] or not expected:
        raise BackfireError(
            f"{folder}: a file is missing that {NAME} there lists ({lost[0][66:] if lost else 'it is cut short'}).",
            "the folder is not whole or was damaged; delete it and run again.",
        )


def model_sums(folder: Path) -> dict[str, str]:
    """{path within the folder: SHA-256} of the files that a model is loaded from, as they are now."""
    return {name: _sha256(file) for name, file in _files(folder).items() if file.suffix in _KINDS}


def _files(folder: Path) -> dict[str, Path]:
    """{path within the folder: file} of all files but the checksums, in order."""
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    return {name: found[name] for name in sorted(found) if name != NAME}


def _escaped(line: str) -> str:
    """A line as `sha256sum` writes it, also of a name with a line break."""
    changed = "".join(_ESCAPES.get(character, character) for character in line)
    return line if changed == line else f"\\{changed}"


def _sha256(file: Path) -> str:
    status = file.stat()
    return _digest(file.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)


@cache
def _digest(file: Path, size: int, time: int, inode: int) -> str:
    """SHA-256 of a file, remembered for as long as it is not touched."""
    return file_digest(file)
