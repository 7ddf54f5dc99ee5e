"""A real Slurm for tests: munge, a controller and one node, all on this machine, stopped again afterwards."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
FOLDER = Path("/etc/slurm")
SOCKETS = Path("/run/munge")
# More processors and memory than there may be: what is tested is what is asked for and given. Memory is enforced by
# sampling, as on clusters without cgroups. Two device files stand for GPUs, which Slurm counts and never opens.
CONFIGURATION = """
ClusterName=backfire
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
MinJobAge=3600
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DEVICES = "Name=gpu File=/dev/zero\nName=gpu File=/dev/full\n"


def obstacle() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found: install the Debian packages slurm-wlm and munge"
    if os.geteuid() != 0:
        return "only root can start slurmctld, slurmd and munged"
    if _output("pidof", "slurmctld", "slurmd"):
        return "a Slurm runs on this machine already"
    return None


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Slurm with its state in `folder`; configuration files that were there before are put back."""
    host = socket.gethostname().split(".")[0]
    with _munge(), _files(folder, host):
        controller = _daemon(["slurmctld", "-D"], folder)
        node = _daemon(["slurmd", "-D"], folder)
        try:
            _wait(lambda: "idle" in _output("sinfo", "--noheader", "--format=%T"), "the node to be idle", folder)
            yield
        finally:
            subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=30, check=False)
            for process in (node, controller):
                process.terminate()
                process.wait(timeout=30)


def jobs() -> dict[str, dict[str, str]]:
    """What `scontrol` tells of every job, also of those that ended: {job id: {field: value}}."""
    found = {}
    for line in _output("scontrol", "show", "jobs", "--oneliner").splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        if "JobId" in fields:
            # TRES=cpu=1,mem=700M: the greedy name ends at the first equals sign.
            found[fields["JobId"]] = fields
    return found


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


def _wait(done, what: str, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            tails = [path.read_text()[-2000:] for path in sorted(folder.glob("*.log"))]
            raise AssertionError("\n".join([f"waited {seconds:.0f} s for {what}", *tails]))
        time.sleep(0.2)


def _daemon(command: list[str], folder: Path) -> subprocess.Popen:
    with (folder / f"{command[0]}.out").open("w") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)


@contextmanager
def _munge() -> Iterator[None]:
    """Munge, unless it runs already."""
    if _munge_answers():
        yield
        return
    SOCKETS.mkdir(exist_ok=True)
    shutil.chown(SOCKETS, "munge", "munge")
    command = ["runuser", "-u", "munge", "--", shutil.which("munged"), "--foreground"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(_munge_answers, "munge", SOCKETS)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _munge_answers() -> bool:
    return subprocess.run(["munge", "-n"], capture_output=True, timeout=30, check=False).returncode == 0


@contextmanager
def _files(folder: Path, host: str) -> Iterator[None]:
    ports = [_free_port() for _ in range(2)]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    text = CONFIGURATION.format(host=host, folder=folder, controller_port=ports[0], node_port=ports[1])
    # srun reads the configuration there, whatever SLURM_CONF says.
    written = {FOLDER / "slurm.conf": text, FOLDER / "gres.conf": DEVICES}
    before = {path: path.read_bytes() if path.is_file() else None for path in written}
    FOLDER.mkdir(exist_ok=True)
    try:
        for path, content in written.items():
            path.write_text(content)
        yield
    finally:
        for path, content in before.items():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
