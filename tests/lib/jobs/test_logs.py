"""A job's log ends with what the job used, whether it succeeded or not."""

import subprocess
import sys

import pytest

from backfire.jobs.logs import job_usage

BALLAST = 200 << 20
SCRIPT = """
import sys
from backfire.jobs.logs import job
with job(sys.argv[1]):
    import logging
    data = b"x" * int(sys.argv[2])
    logging.info("made %d bytes", len(data))
    if sys.argv[3] == "crash":
        raise ValueError("no such thing")
    if sys.argv[3] == "complain":
        from backfire.errors import BackfireError
        raise BackfireError("found this", "do that")
    if sys.argv[3] == "die":
        import os
        os._exit(9)
"""


def run(log, size, ending="end"):
    return subprocess.run([sys.executable, "-c", SCRIPT, str(log), str(size), ending], check=False, capture_output=True)


@pytest.mark.parametrize("ending", ["end", "crash", "complain"])
def test_every_ending_tells_memory_and_time(tmp_path, ending):
    log = tmp_path / "logs" / "a.log"
    # This process holds more than the job does, which must not count.
    ballast = b"x" * (2 * BALLAST)
    done = run(log, BALLAST, ending)
    assert (done.returncode == 0) == (ending == "end")
    usage = job_usage(log)
    assert BALLAST < usage.peak_mib * 2**20 < len(ballast)
    assert usage.seconds >= 0
    assert usage.processor_seconds > 0
    assert (
        log.read_text()
        .splitlines()[-1]
        .endswith(f"wall time {usage.seconds:.2f} s, processor time {usage.processor_seconds:.2f} s")
    )
    assert ("Traceback" in log.read_text()) == (ending != "end")


def test_a_job_that_was_killed_tells_nothing(tmp_path):
    assert run(tmp_path / "a.log", 1, "die").returncode == 9
    assert job_usage(tmp_path / "a.log") is None


def test_more_memory_is_seen(tmp_path):
    for size in (1, BALLAST):
        run(tmp_path / f"{size}.log", size)
    small, large = (job_usage(tmp_path / f"{size}.log") for size in (1, BALLAST))
    assert large.peak_mib - small.peak_mib == pytest.approx(BALLAST / 2**20, rel=0.05)
