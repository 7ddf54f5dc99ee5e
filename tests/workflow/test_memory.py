"""Memory that a machine has not: what the kernel's killing looks like, and that jobs take turns on what there is."""

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow
# The engine takes some 170 MiB, and encoding, with torch and the model, some 400.
SMALL, AMPLE = 340 << 20, 2 << 30
WANTED = [f"results/tiny/embeddings/base/seed-0/tiny/corpus/{shard}-of-2.parquet" for shard in (1, 2)]


class Group:
    """A group of processes whose memory the kernel bounds, by either version of its interface."""

    def __init__(self, folder: Path):
        self._folder = folder

    def bound(self, limit: int) -> None:
        """Let its processes have this many bytes together, without swap."""
        new = (self._folder / "memory.max").exists()
        (self._folder / ("memory.max" if new else "memory.limit_in_bytes")).write_text(str(limit))
        with suppress(OSError):
            (self._folder / "memory.swap.max").write_text("0")

    @property
    def enter(self) -> tuple[str, ...]:
        """The beginning of a command that runs in it."""
        return ("sh", "-c", f'echo $$ > "{self._folder}/cgroup.procs" && exec "$@"', "sh")

    @property
    def kills(self) -> int:
        """Processes that the kernel killed in it for their memory."""
        names = ("memory.events", "memory.oom_control")
        text = next((self._folder / name).read_text() for name in names if (self._folder / name).exists())
        return int(re.search(r"^oom_kill (\d+)", text, re.MULTILINE)[1])


@pytest.fixture
def group():
    name = f"backfire-test-{os.getpid()}"
    for folder in (Path("/sys/fs/cgroup/memory") / name, Path("/sys/fs/cgroup") / name):
        with suppress(OSError):
            folder.mkdir()
            found = Group(folder)
            try:
                found.bound(AMPLE)
            except OSError:
                folder.rmdir()
                continue
            yield found
            # The kernel lets go of a killed process a moment after its parent knows.
            for _ in range(100):
                with suppress(OSError):
                    folder.rmdir()
                    return
                time.sleep(0.1)
            return
    pytest.skip("no group of processes can be made whose memory is bounded: that takes root and cgroups")


def test_a_job_that_the_kernel_kills_is_explained_and_jobs_take_turns_on_memory(clone, prepared_base, group, tmp_path):
    # Trying out the base takes the library that it is held against, and more than encoding does.
    engine = clone.on("tiny").elsewhere(tmp_path).given(prepared_base)
    group.bound(SMALL)
    failed = engine.run(*WANTED, through=group.enter)
    text = failed.stdout + failed.stderr
    assert failed.returncode == 1 and group.kills, text[-3000:]
    assert "rule encode_corpus:" in text and "died with <Signals.SIGKILL: 9>" in text
    assert "Error: a job was killed (SIGKILL)" in text and "--resources mem_mb=N" in text
    assert not [path for path in WANTED if (tmp_path / path).exists()]
    before = group.kills
    group.bound(AMPLE)
    done = engine.run(*WANTED, through=group.enter)
    assert done.returncode == 0, done.stderr[-3000:]
    assert group.kills == before and all((tmp_path / path).exists() for path in WANTED)
    text = done.stdout + done.stderr
    assert "rule tokenize_corpus:" not in text, "it had ended before"
    events = re.findall(r"rule (encode_corpus):|Finished jobid: \d+ \(Rule: encode_corpus\)", text)
    assert events == ["encode_corpus", "", "encode_corpus", ""], "of 2 GiB each asks for 1,500 MiB: one after the other"


def test_what_a_machine_has_is_what_its_group_may_have(group):
    group.bound(AMPLE)
    told = [sys.executable, "-c", "from backfire.jobs.resources import available_memory; print(available_memory())"]
    outside, inside = (
        int(subprocess.run([*through, *told], capture_output=True, text=True, check=True).stdout)
        for through in ((), group.enter)
    )
    total = int(re.search(r"^MemTotal: +(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)[1]) >> 10
    assert 0 < outside <= total
    assert inside == min(AMPLE >> 20, outside) or outside < AMPLE >> 20
