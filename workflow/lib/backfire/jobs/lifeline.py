"""A job ends with the engine that started it, so that none writes beside its successor after the engine was killed."""

import logging
import os
import select
import signal
import threading
from contextlib import suppress
from pathlib import Path

ENGINE = "BACKFIRE_ENGINE"
"""The environment variable by which the workflow tells its jobs the engine's process id."""

logger = logging.getLogger(__name__)


def end_with_the_engine() -> None:
    """From now on, send this process SIGTERM as soon as the engine is gone; a training then writes a checkpoint.

    Nothing happens without an engine among the processes that this one descends from (a job by hand, another
    machine or container), or where the kernel cannot tell (Linux before 5.3, other systems).
    """
    engine = os.environ.get(ENGINE, "")
    with suppress(OSError, AttributeError, ValueError):
        if int(engine) in _ancestors():
            threading.Thread(target=_wait, args=(os.pidfd_open(int(engine)),), daemon=True).start()


def _wait(engine: int) -> None:
    select.select([engine], [], [])
    logger.warning("the engine has ended, so this job ends")
    os.kill(os.getpid(), signal.SIGTERM)


def _ancestors() -> list[int]:
    found, process = [], os.getppid()
    while process > 1:
        found.append(process)
        # The name, in parentheses, may hold anything; behind it come state and parent.
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return found
