"""Locks between processes (`flock`), which the kernel frees when their holder ends, however it ends."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


def take(paths: Sequence[Path], waiting: str) -> tuple[int, "FileLock"]:
    """Take the first free one of several lock files; gives its place among them, and the lock, held until released.

    Where all are taken, `waiting` goes to the log and the call waits for one. Raises `OSError` where a file cannot be
    made or the file system has no locks.
    """
    from filelock import FileLock, Timeout

    # A lock that is a mere file would outlive a killed job.
    locks = [FileLock(path, fallback_to_soft=False) for path in paths]
    told = False
    while True:
        for place, lock in enumerate(locks):
            try:
                lock.acquire(timeout=0)
                return place, lock
            except Timeout:
                continue
        if not told:
            logger.warning(waiting)
            told = True
        time.sleep(POLL_SECONDS)


@contextmanager
def alone(path: Path, waiting: str, unlocked: str) -> Iterator[None]:
    """Run the body while no other process holds the lock file `path`, for which the call waits (see `take`).

    Its folder is made. Where there are no locks nothing waits; the log says why, and with `unlocked` what that means.
    """
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _, lock = take([path], f"{waiting} and holds {path}; waiting for it to end")
    except OSError as error:
        logger.warning("%s cannot be locked (%s); %s", path, error, unlocked)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
