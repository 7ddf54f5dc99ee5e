"""What a job says while it runs and when it fails: a log file, progress lines, one readable error."""

import faulthandler
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from backfire.jobs.faults import explained
from backfire.jobs.gpus import settle_gpu
from backfire.jobs.lifeline import end_with_the_engine
from backfire.jobs.resources import available_processors, peak_resident

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
# The last one is that of the tokenizers, which take every processor otherwise.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
# A thread that waits for another sleeps soon: by default it spins for a millisecond, and where something else runs on
# the same processor that is several times slower. Alone it makes no difference. OpenBLAS takes a power of 2 of cycles.
SLEEP_SOON = {"GOMP_SPINCOUNT": "1000", "OPENBLAS_THREAD_TIMEOUT": "14"}

# Packages that take a good part of a second to import: a job's log tells which it loaded.
LARGE = ["matplotlib", "numba", "pandas", "peft", "scipy", "sentence_transformers", "sklearn", "statsmodels"]
LARGE += ["torch", "torch._dynamo", "transformers", "umap"]

_USAGE = "peak resident memory {:.1f} MiB, wall time {:.2f} s, processor time {:.2f} s"
_NUMBER = r"(\d+\.\d+)"
_USAGE_LINE = re.compile(
    rf" {re.escape(__name__)}: peak resident memory {_NUMBER} MiB, wall time {_NUMBER} s, processor time {_NUMBER} s$",
    re.MULTILINE,
)


class Usage(NamedTuple):
    """What a job used: peak resident memory of its process in MiB, wall time and processor time in seconds.

    Processor time is that of all threads of the process, from its start.
    """

    peak_mib: float
    seconds: float
    processor_seconds: float


@contextmanager
def job(log: str, threads: int = 1, gpu: int = 0) -> Iterator[int]:
    """Run the body of a script as a job; gives the threads that it may use.

    Everything logged, every warning and any traceback goes to the file `log`; a `BackfireError`, and what the machine
    refused (see `faults`), is shown on the terminal as its message and hint alone. The last line, failed or not, tells
    peak memory and time (see `job_usage`); wall time starts with this call, so the start of the interpreter is left
    out. The job ends when the engine that started it does (see `lifeline`). Numeric libraries imported inside the body
    use at most `threads` threads and never more than the processors this process may use, so that `--cores 8` on two
    cores does not oversubscribe them. A job that asked for a GPU (`gpu`) has one for itself, any other sees none (see
    `settle_gpu`).
    """
    end_with_the_engine()
    threads = usable_threads(threads)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    for variable, value in SLEEP_SOON.items():
        os.environ.setdefault(variable, value)
    # Else the tokenizers end their threads, with a warning, in a process that was forked.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    start = time.perf_counter()
    try:
        with _logging_to(log):
            try:
                settle_gpu(gpu)
                yield threads
            except Exception:
                logger.exception("the job failed")
                raise
            finally:
                loaded = ", ".join(name for name in LARGE if name in sys.modules)
                logger.info("large packages loaded: %s", loaded or "none")
                logger.info(_USAGE.format(peak_resident(), time.perf_counter() - start, time.process_time()))
    except Exception as error:
        readable = explained(error)
        if readable is None:
            text = f"{type(error).__name__}: {error}\nHint: the traceback is in {log}"
        else:
            text = f"{readable}\n(traceback in {log})"
        print(f"\nError: {text}\n", file=sys.stderr, flush=True)
        sys.exit(1)


@contextmanager
def _logging_to(log: str) -> Iterator[None]:
    """Send everything logged and every warning to the file `log`; one on a full disk loses lines and stops nothing."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.handleError = lambda record: None
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # Where a signal ends the process (SIGBUS: a mapped file that the disk does not give), the log tells what was run.
    ours = not faulthandler.is_enabled()
    if ours:
        faulthandler.enable(handler.stream)
    try:
        yield
    finally:
        if ours:
            faulthandler.disable()
        root.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def job_usage(log: str | Path) -> Usage | None:
    """What the job that wrote a log used; None when it has not ended, or was killed."""
    found = _USAGE_LINE.findall(Path(log).read_text(encoding="utf-8", errors="replace"))
    return Usage(*map(float, found[-1])) if found else None


def usable_threads(requested: int) -> int:
    """The smaller of `requested` and the processors that this process may use (see `resources`), at least one."""
    return max(1, min(requested, available_processors()))


class _Lines:
    """A stream that turns tqdm's carriage returns into lines, so that parallel jobs do not overwrite each other."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a bar as a line of its own; tqdm's bare carriage returns and clearing blanks vanish."""
        text = text.strip("\r\n ")
        if text:
            self._stream.write(text + "\n")

    def flush(self) -> None:
        """Pass on to the stream beneath."""
        self._stream.flush()


def notice(message: str, *values: object) -> None:
    """Say something on the terminal that cannot wait for the report, and in the log; `message` as logging takes it."""
    logger.warning(message, *values)
    print(f"Note: {message % values}", file=sys.stderr, flush=True)


def progress(label: str | None, total: int, unit: str):
    """A tqdm bar on the terminal, one line at most every few seconds; use as a context manager and call `update(n)`.

    Silent when `label` is None.
    """
    from tqdm import tqdm

    return tqdm(
        desc=label,
        total=total,
        unit=unit,
        file=_Lines(sys.stderr),
        mininterval=PROGRESS_SECONDS,
        # A job that ends sooner says nothing.
        delay=PROGRESS_SECONDS,
        ascii=" #",
        ncols=100,
        leave=False,
        disable=label is None,
    )
