"""What a machine refuses a job (room, rights, memory, a package), as errors that say where and what to do.

Libraries tell it in their own ways: as an `OSError`, as a `MemoryError`, or as the words of the operating system in an
error of their own. All of them are read here, and nowhere else.
"""

import errno
import os
import re
import shutil
import socket
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backfire.errors import BackfireError

_ROOM = "make room there and run again; what is done stays. `snakemake plan_study` tells what a study needs."
_RIGHTS = "let the user who runs the job write there (read, for an input), or run in another folder (--directory)."
_DISK = "look at the disk or at the connection to the server that it is on, then run again."
REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), or write to another file system (--directory).",
    errno.EROFS: "mount it writable, or run in another folder (--directory).",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: _DISK,
    errno.ESTALE: _DISK,
    errno.EMFILE: "raise the limit on open files (ulimit -n), then run again.",
    errno.ENFILE: "raise the machine's limit on open files, then run again.",
}
_MEMORY = (
    "run fewer jobs at once (a smaller --cores, or --resources mem_mb=N), or make the job smaller: more "
    "encoding.shards, a smaller encoding.batch_tokens, a variant's smaller batch_size or max_length. On a cluster ask "
    "for more: --set-resources RULE:mem_mb=N."
)
_GPU_MEMORY = (
    "see who else computes on this GPU (nvidia-smi), or make the job smaller: a smaller encoding.batch_tokens, a "
    "variant's smaller batch_size or max_length; or run it on a GPU with more memory."
)
# How CUDA and its libraries say that a GPU's memory is spent, where torch has no class for it.
_GPU_WORDS = re.compile(
    r"(?:CUDA|HIP)(?: error:)? out of memory|cudaErrorMemoryAllocation|cudaMalloc error out of memory"
    r"|CU[A-Z]+_STATUS_(?:[A-Z]+_)*ALLOC(?:ATION)?_FAILED"
)
# How the engine says that a signal ended a job, and what may be behind it where nobody sent one.
_SIGNALS = {
    "died with <Signals.SIGKILL: 9>": (
        "a job was killed (SIGKILL). Where nobody did that it was the kernel, which was out of memory.",
        _MEMORY,
    ),
    "died with <Signals.SIGBUS: 7>": (
        "a job ended with SIGBUS: the disk did not give a file that it read, or the file was cut short meanwhile. The "
        "end of the job's log tells where.",
        _DISK,
    ),
}
_PACKAGE = (
    "install what requirements.lock pins, on every node that runs jobs (pip install -e . -c requirements.lock), or run "
    "in an environment that all nodes see."
)
_TEMPORARY = re.compile(r"^\.(.+)\.\d+\.partial(.*)$")


def refused(error: Exception, path: str | Path) -> BackfireError | None:
    """What is to be said when reading or writing `path` failed for a reason of the machine's; None for any other."""
    number = None if isinstance(error, BackfireError) else _number(error)
    if number not in REMEDIES:
        return None
    # Of two files the second is the one that is written.
    path = _place(getattr(error, "filename2", None) or getattr(error, "filename", None) or path)
    return BackfireError(f"{path}: {os.strerror(number)}{_free(number, path)}.", REMEDIES[number])


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Name the file that the body reads where the machine refuses: it names one itself only while opening it."""
    try:
        yield
    except OSError as error:
        if (refusal := refused(error, path)) is not None:
            raise refusal from error
        raise


def explained(error: Exception, path: str | Path | None = None) -> BackfireError | None:
    """The same, and for memory that was missing and a package that cannot be imported.

    `path` is the file that was being read, None for anything else.
    """
    if isinstance(error, BackfireError):
        return error
    number, package = _number(error), _package(error)
    if number in REMEDIES:
        return refused(error, path or "a file")
    if lacks_gpu_memory(error):
        return BackfireError(f"not enough memory on a GPU of {socket.gethostname()} ({_reason(error)}).", _GPU_MEMORY)
    if number == errno.ENOMEM:
        where, damage = ("", "") if path is None else (f"{path}: ", " If the file is small, it is damaged: delete it.")
        return BackfireError(
            f"{where}not enough memory on {socket.gethostname()} ({_reason(error)}).", _MEMORY + damage
        )
    if package is not None:
        return BackfireError(
            f"the package '{package}' cannot be imported on {socket.gethostname()} by {sys.executable} "
            f"({type(error).__name__}: {error}).",
            _PACKAGE,
        )
    return None


def lacks_gpu_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU is spent: torch's own, or the words of CUDA and its libraries."""
    # torch's class, which is not worth importing torch for.
    return type(error).__name__ == "OutOfMemoryError" or bool(_GPU_WORDS.search(str(error)))


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def of_signals(logs: Iterable[str | Path]) -> list[BackfireError]:
    """What may be behind the signals that jobs ended with, as the engine's `logs` tell of them."""
    with suppress(OSError):
        text = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
        return [BackfireError(*said) for words, said in _SIGNALS.items() if words in text]
    return []


def _number(error: Exception) -> int | None:
    """The `errno` behind an error, as its number or in its words; ENOMEM for all that memory was missing for."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, MemoryError) or "bad_alloc" in str(error):
        return errno.ENOMEM
    text = str(error)
    return next((number for number in (*REMEDIES, errno.ENOMEM) if os.strerror(number) in text), None)


def _place(path: str | Path) -> Path:
    """A path without the temporary names that things are written to before they are renamed (see `formats.atomic`)."""
    return Path(*(_TEMPORARY.sub(r"\1\2", part) for part in Path(os.fsdecode(path)).parts))


def _free(number: int, path: Path) -> str:
    """How much is free where `path` lies, where that is the matter."""
    if REMEDIES[number] != _ROOM:
        return ""
    folder = path.absolute().parent
    try:
        free = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
    except OSError:
        return ""
    return f" ({free / 2**20:,.1f} MiB were free on its file system)"


def _package(error: Exception) -> str | None:
    """The package whose import failed; None where nothing was being imported.

    An error that is no ImportError came up in an import if the code of a module was running below the job's script.
    """
    modules = [
        frame.f_globals.get("__name__", "")
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "<module>"
    ]
    inner = [name for name in modules if name not in ("__main__", "<run_path>")]
    if isinstance(error, ImportError):
        name = error.name or (inner[-1] if inner else "?")
    elif inner and not inner[-1].startswith("backfire."):
        name = inner[-1]
    else:
        return None
    return name.partition(".")[0]
