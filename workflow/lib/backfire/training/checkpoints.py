"""States of a training on disk, from which a killed one goes on: written by rename, checked by digest, two at most."""

import hashlib
import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from backfire.errors import BackfireError
from backfire.formats.atomic import replacing
from backfire.formats.weights import read_through
from backfire.jobs import locks
from backfire.jobs.faults import explained
from backfire.provenance.fingerprints import file_sha256, value_digest

logger = logging.getLogger(__name__)

KEPT = 2
BUFFERS = "buffers/"
"""What stands in the names of tensors that a network keeps beside its weights."""
_NOTES = "notes"


class Pace(NamedTuple):
    """How often to write: `every` seconds, and less often where writing would take more than `share` of the time.

    No key of the configuration, since it changes no result; what a kill costs is `every` or what a write takes over
    `share`, whichever is longer.
    """

    every: float = 120.0
    share: float = 0.01


PACE = Pace()


class State(NamedTuple):
    """A training after some steps: its tensors by name, and everything else as plain data."""

    tensors: dict[str, Tensor]
    notes: dict


def training_digest(settings: dict, files: list[str | Path]) -> str:
    """SHA-256 of all that decides what a training does: plain `settings`, and the bytes of files and folders."""
    contents = []
    for path in map(Path, files):
        parts = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
        contents.append([[part.relative_to(path).as_posix(), file_sha256(part)] for part in parts])
    return value_digest([settings, contents])


def alone(folder: str | Path) -> AbstractContextManager[None]:
    """A context for the only process that trains the model whose states are in the folder.

    A killed engine leaves jobs that go on. Where the file system has no locks a warning is logged and nothing waits.
    """
    path = Path(folder) / ".lock"
    # Without this folder there is no training; without its lock there is.
    path.parent.mkdir(parents=True, exist_ok=True)
    return locks.alone(path, "another process trains this model", "two jobs that train this model would not notice")


class Checkpoints:
    """The states of one training in a folder of its own, the newest `KEPT` of them.

    Each is a safetensors file with a digest of its content; the notes are in it as the bytes of a JSON text. A write
    that was cut short leaves a temporary name, which the next start removes.
    """

    def __init__(self, folder: Path, pace: Pace):
        self._folder, self._pace = folder, pace
        self._last, self._took = time.perf_counter(), 0.0
        self.seconds = 0.0

    def due(self) -> bool:
        """Whether it is time to write one; the seconds that writing took so far are in `seconds`."""
        return time.perf_counter() - self._last >= max(self._pace.every, self._took / self._pace.share)

    def write(self, step: int, state: State) -> None:
        """Write the state after `step` and remove those that are too old; on a full disk, warn and train on."""
        from safetensors import SafetensorError

        begun = time.perf_counter()
        try:
            _write(self._folder / f"step-{step:09d}.safetensors", state)
        except (OSError, SafetensorError, BackfireError) as error:
            logger.warning("no checkpoint after step %d: %s", step, error)
        for path in self._files()[KEPT:]:
            path.unlink()
        self._last = time.perf_counter()
        self._took = self._last - begun
        self.seconds += self._took
        logger.info("after step %d a checkpoint took %.2f s", step, self._took)

    def load(self) -> State | None:
        """The newest state that is whole, None where there is none; a damaged one is removed with a warning.

        Raises `BackfireError`, and removes nothing, where the machine refuses to read one.
        """
        for leftover in self._folder.glob(".*"):
            leftover.unlink()
        for path in self._files():
            try:
                return _read(path)
            except Exception as error:
                if (refusal := explained(error, path)) is not None:
                    raise refusal from error
                logger.warning("%s is damaged and is not used: %s", path, error)
                path.unlink()
        return None

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.safetensors"), reverse=True)


def discard(folder: str | Path) -> None:
    """Remove every training's states below a folder that `alone` holds."""
    for path in Path(folder).iterdir():
        if path.is_dir():
            shutil.rmtree(path)


@contextmanager
def noting_signals() -> Iterator[Callable[[], int | None]]:
    """While the body runs, a first SIGTERM or SIGINT does nothing but make the function given return its number.

    A second one acts as it would have. Outside the main thread signals are left alone.
    """
    noted: list[int] = []
    before = {}

    def note(number, _frame):
        noted.append(number)
        restore()

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: noted[0] if noted else None
    finally:
        restore()


def _write(path: Path, state: State) -> None:
    from safetensors.torch import save_file

    text = torch.frombuffer(bytearray(json.dumps(state.notes).encode()), dtype=torch.uint8)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()} | {_NOTES: text}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"sha256": _digest(tensors)})


def _read(path: Path) -> State:
    from safetensors import safe_open

    read_through(path)
    with safe_open(path, framework="pt") as stream:
        # Copies, since the file may go before they do.
        tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118
        expected = (stream.metadata() or {}).get("sha256")
    if _digest(tensors) != expected:
        raise ValueError("its content has another digest than was written")
    # Buffers may hold infinities by intent, as masks do.
    if not all(tensor.isfinite().all() for name, tensor in tensors.items() if BUFFERS not in name):
        raise ValueError("it holds weights or moments that are not finite")
    return State(tensors, json.loads(tensors.pop(_NOTES).numpy().tobytes()))


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
