"""GPUs: which of them a process may use, and one for each job that asked for one. No driver is loaded."""

import logging
import os
import re
import tempfile
from pathlib import Path

from backfire.jobs.locks import take

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Where one of these is set a scheduler started the process: its GPUs may be numbered from 0 in each job.
SCHEDULED = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")

_UUID = re.compile(r"(GPU|MIG)-[\w/-]+")
# Locks that this process holds until it ends: its context on the device lives as long.
_held: list = []


def visible_gpus(machine: Path = Path("/")) -> list[str]:
    """The NVIDIA devices that this process may use, by number or by UUID, as in `CUDA_VISIBLE_DEVICES`.

    That variable chooses where it is set, read as CUDA reads it: up to the first entry that names no device, so that
    an empty text, `-1` or `NoDevFiles` mean none. A UUID, of a GPU or of a part of one (MIG), is believed.
    """
    # The devices' files are made at their first use; the module tells of them before.
    count = len(list(machine.glob("dev/nvidia[0-9]*")) or list(machine.glob("proc/driver/nvidia/gpus/*")))
    if VISIBLE not in os.environ:
        return [str(number) for number in range(count)]
    devices: list[str] = []
    for entry in map(str.strip, os.environ[VISIBLE].split(",")):
        if not (entry.isdecimal() and int(entry) < count or _UUID.fullmatch(entry)):
            break
        devices.append(entry)
    return list(dict.fromkeys(devices))


def settle_gpu(asked: int) -> None:
    """Leave this process one GPU for itself if it `asked` for any, until it ends, and else none.

    Of the GPUs that it may use the first is taken that no other job of this user on this machine has; where all are
    taken the call waits for one, and says so in the log. In a scheduler's job those that the scheduler gave to this
    very job count, and if it asked for none nothing is changed. Where there is no GPU nothing is.
    """
    scheduler_job = next((os.environ[name] for name in SCHEDULED if os.environ.get(name)), "")
    devices = visible_gpus()
    if asked and not devices:
        chosen = f"{VISIBLE} is '{os.environ[VISIBLE]}'" if VISIBLE in os.environ else "the machine shows none"
        logger.warning("this job asked for a GPU, and %s: it takes one that torch finds, else the CPU", chosen)
    if not devices or (scheduler_job and not asked):
        return
    if not asked:
        os.environ[VISIBLE] = ""
        return
    place = 0
    try:
        folder = _own_folder()
        names = [re.sub(r"[^\w-]", "_", f"gpu-{scheduler_job}-{device}") for device in devices]
        busy = f"other jobs hold the locks in {folder} of all GPUs ({', '.join(devices)}); waiting for one of them"
        place, lock = take([folder / name for name in names], busy)
        _held.append(lock)
    except OSError as error:
        logger.warning("GPUs cannot be locked (%s); two jobs that use the same one would not notice", error)
    os.environ[VISIBLE] = devices[place]
    logger.info("GPU %s of %s", devices[place], ", ".join(devices))


def _own_folder() -> Path:
    """A folder for locks that nobody else can write to, in the place for temporary files, which all may write to."""
    folder = Path(tempfile.gettempdir()) / f"backfire-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else, or others may write to it")
    return folder
