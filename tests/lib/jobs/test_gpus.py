"""Jobs take turns on GPUs: real processes on devices that exist by name only."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backfire.jobs.gpus import SCHEDULED, visible_gpus

# Leaves a mark in the folder while it is on its device, some time past the end of its job, and fails to leave a second.
SCRIPT = """
import os, sys, time
from pathlib import Path
from backfire.jobs.logs import job
with job(sys.argv[1], 1, int(sys.argv[2])):
    device = os.environ.get("CUDA_VISIBLE_DEVICES")
    mark = Path(f"on-{device}".replace("/", "_"))
    mark.mkdir()
    print(device, flush=True)
    time.sleep(float(sys.argv[3]))
    assert not {"torch", "numpy"} & sys.modules.keys()
time.sleep(0.3)
mark.rmdir()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that starts a job; those that still run at the end are killed."""
    for name in SCHEDULED:
        monkeypatch.delenv(name, raising=False)
    started = []

    def job(name, devices, asked=1, seconds=0.2, **more):
        environment = os.environ | {"TMPDIR": str(tmp_path), **more}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        environment |= {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
        command = [sys.executable, "-c", SCRIPT, f"{name}.log", str(asked), str(seconds)]
        started.append(
            subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=-2)
        )
        return started[-1]

    yield job
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def end(process):
    """The device that a job had, once it has ended well."""
    text = process.communicate()[0]
    assert process.returncode == 0, text
    return text.removesuffix("\n")


def logged(process: subprocess.Popen, log: Path, text: str) -> None:
    """Wait until the log of a job that goes on says something."""
    while not (log.exists() and text in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)


def test_jobs_spread_over_the_devices_and_never_share_one(start):
    jobs = [start(f"{number}", "GPU-a,MIG-GPU-b/1/0") for number in range(4)]
    assert {end(job) for job in jobs} == {"GPU-a", "MIG-GPU-b/1/0"}


def test_a_job_that_waits_says_so_and_goes_on_when_the_holder_is_killed(start, tmp_path):
    holder = start("holder", "GPU-a", seconds=60)
    assert holder.stdout.readline() == "GPU-a\n"
    waiting = start("waiting", "GPU-a")
    logged(waiting, tmp_path / "waiting.log", "other jobs hold the locks")
    (tmp_path / "on-GPU-a").rmdir()
    holder.kill()
    assert end(waiting) == "GPU-a"
    assert (tmp_path / "waiting.log").read_text().count("other jobs hold the locks") == 1


def test_jobs_of_two_allocations_do_not_wait_for_each_other(start, tmp_path):
    """A scheduler may number the devices of each job from 0."""
    holder = start("holder", "GPU-a", seconds=60, SLURM_JOB_ID="1")
    holder.stdout.readline()
    (tmp_path / "on-GPU-a").rmdir()
    assert end(start("other", "GPU-a", SLURM_JOB_ID="2")) == "GPU-a"
    assert "other jobs" not in (tmp_path / "other.log").read_text()


@pytest.mark.parametrize(
    ("devices", "asked", "more", "left"),
    [
        ("GPU-a,GPU-b", 0, {}, ""),
        # A GPU that was asked for by `gres` alone.
        ("GPU-a", 0, {"SLURM_JOB_ID": "1"}, "GPU-a"),
        ("GPU-a,GPU-b", 1, {"SLURM_JOB_ID": "1"}, "GPU-a"),
        ("", 1, {}, ""),
        ("-1", 1, {}, "-1"),
        ("-1", 0, {}, "-1"),
        ("NoDevFiles", 1, {}, "NoDevFiles"),
    ],
)
def test_what_a_job_is_left_with(start, devices, asked, more, left):
    assert end(start("job", devices, asked, **more)) == left


@pytest.mark.skipif(bool(visible_gpus()), reason="for machines without a GPU")
@pytest.mark.parametrize("asked", [0, 1])
def test_without_a_gpu_nothing_is_changed(start, tmp_path, asked):
    assert end(start("job", None, asked)) == "None"
    assert not list(tmp_path.glob("backfire-*"))
    assert ("asked for a GPU" in (tmp_path / "job.log").read_text()) == bool(asked)


@pytest.mark.parametrize("more", [{}, {"SLURM_JOB_ID": "1"}])
def test_a_gpu_that_was_asked_for_and_is_not_seen_is_told(start, tmp_path, more):
    """As on a node whose scheduler hides what it did not give; torch is asked later, and may find one."""
    end(start("job", "", **more))
    assert "asked for a GPU, and CUDA_VISIBLE_DEVICES is ''" in (tmp_path / "job.log").read_text()


def test_a_folder_of_somebody_else_is_not_used(start, tmp_path):
    (tmp_path / f"backfire-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert end(start("job", "GPU-a,GPU-b")) == "GPU-a"
    assert "GPUs cannot be locked" in (tmp_path / "job.log").read_text()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("chosen", "devices"),
    [
        (None, ["0", "1", "2"]),
        ("1,2", ["1", "2"]),
        (" 2 ,0", ["2", "0"]),
        ("1,1", ["1"]),
        # CUDA takes those before the first that is none.
        ("0,3,1", ["0"]),
        ("0,-1,1", ["0"]),
        ("", []),
        ("-1", []),
        ("none", []),
        ("GPU-8932f937-d72c,1", ["GPU-8932f937-d72c", "1"]),
        ("MIG-GPU-8932f937/1/0", ["MIG-GPU-8932f937/1/0"]),
    ],
)
def test_devices_that_a_process_may_use(tmp_path, monkeypatch, chosen, devices):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    # A container may have the files of other devices than the first.
    for name in ("nvidia2", "nvidia5", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    assert visible_gpus(tmp_path) == devices


def test_devices_count_before_their_files_are_made(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert visible_gpus(tmp_path) == ["0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert visible_gpus(tmp_path) == []
