"""What a process may use: processors by its mask and by its group's quota, threads of every library that has some."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from backfire.jobs import resources
from backfire.jobs.logs import usable_threads
from backfire.jobs.resources import available_processors

MANY = 64
TOLD = "from backfire.jobs.logs import usable_threads; print(usable_threads(1000))"


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that lays out a file system of groups; the machine has many processors."""
    monkeypatch.setattr(resources, "_GROUPS", tmp_path)
    monkeypatch.setattr(resources, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(MANY)), raising=False)

    def lay(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    return lay


def first(quota, period=100_000, place="cpu"):
    return {f"{place}/cpu.cfs_quota_us": f"{quota}\n", f"{place}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("membership", "files", "processors"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, MANY),
        ("0::/\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {}, MANY),
        ("0::/\n", {"cpu.max": "nonsense\n"}, MANY),
        # The group's own, or one around it, whichever is less; and a group that a container cannot see.
        ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000"}, 4),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "200000 100000"}, 2),
        ("0::/elsewhere\n", {"cpu.max": "500000 100000"}, 5),
        ("0::/a\n", {"a/cpu.max": "400000 100000", "b/cpu.max": "100000 100000"}, 4),
        ("3:cpu,cpuacct:/\n0::/\n", first(-1, place="cpu,cpuacct"), MANY),
        ("3:cpu,cpuacct:/\n0::/\n", first(250_000, place="cpu,cpuacct"), 3),
        ("3:cpu,cpuacct:/docker/abc\n", first(200_000, place="cpu"), 2),
        ("4:memory:/a\n3:cpu:/a\n", first(200_000, 50_000, "cpu/a") | first(100_000, place="memory/a"), 4),
        # Both versions at once.
        ("3:cpu:/\n0::/\n", first(-1) | {"cpu.max": "200000 100000"}, 2),
    ],
)
def test_a_quota_of_processor_time_counts_in_either_version(groups, membership, files, processors):
    groups(membership, files)
    assert available_processors() == processors
    assert [usable_threads(asked) for asked in (1, 3, 1000)] == [1, min(3, processors), processors]


def test_without_groups_it_is_the_mask(groups, monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "_MEMBERSHIP", tmp_path / "absent")
    assert available_processors() == MANY


@pytest.mark.parametrize("quota", [1, 2])
def test_the_kernels_own_quota(quota):
    name = f"backfire-test-{os.getpid()}"
    for folder in (Path("/sys/fs/cgroup/cpu") / name, Path("/sys/fs/cgroup") / name):
        with suppress(OSError):
            folder.mkdir()
            try:
                new = (folder / "cpu.max").exists()
                (folder / ("cpu.max" if new else "cpu.cfs_quota_us")).write_text(
                    f"{quota * 100_000} 100000" if new else str(quota * 100_000)
                )
                enter = f'echo $$ > "{folder}/cgroup.procs" && exec "$@"'
                done = subprocess.run(
                    ["sh", "-c", enter, "sh", sys.executable, "-c", TOLD], capture_output=True, text=True, check=True
                )
            finally:
                folder.rmdir()
            assert int(done.stdout) == min(quota, usable_threads(1000))
            return
    pytest.skip("no group of processes can be made whose processor time is bounded: that takes root and cgroups")


def test_tokenizers_take_the_threads_of_the_job(base_model, tmp_path):
    script = (
        "import os, sys\n"
        "from backfire.jobs.logs import job\n"
        "with job(sys.argv[1], threads=1):\n"
        "    from tokenizers import Tokenizer\n"
        "    tokenizer = Tokenizer.from_file(sys.argv[2])\n"
        "    before = len(os.listdir('/proc/self/task'))\n"
        "    tokenizer.encode_batch(['a text of some words'] * 500)\n"
        "    print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    environment = os.environ | {"RAYON_NUM_THREADS": "7"}
    command = [sys.executable, "-c", script, str(tmp_path / "log"), str(base_model / "tokenizer.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) <= 1
