"""The engine starts as many GPU jobs at once as there are GPUs: rules that sleep, under what all rules share."""

import pytest

from engines import engines

SNAKEFILE = """
configfile: "{root}/config.yaml"
include: "{root}/workflow/rules/common.smk"

rule all:
    default_target: True
    input: expand("{{kind}}-{{number}}.txt", kind=["model", "table"], number=range(3))

rule model:
    output: "model-{{number}}.txt"
    log: "model-{{number}}.log"
    resources: gpu=GPU
    script: "job.py"

rule table:
    output: "table-{{number}}.txt"
    log: "table-{{number}}.log"
    script: "job.py"
"""
JOB = """
import os
import time
from pathlib import Path
from backfire.jobs.logs import job
with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    time.sleep(0.5)
    Path(snakemake.output[0]).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
"""


@pytest.fixture
def run(root, tmp_path):
    """A function that runs the engine with some devices and gives what the jobs of a rule saw."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(root=root))
    (tmp_path / "job.py").write_text(JOB)

    def with_devices(devices, *arguments):
        environment = {"CUDA_VISIBLE_DEVICES": devices, "TMPDIR": str(tmp_path)}
        done = engines().run(["--cores", "8", "--quiet", *arguments], tmp_path, more=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return {kind: {path.read_text() for path in tmp_path.glob(f"{kind}-*.txt")} for kind in ("model", "table")}

    return with_devices


def test_one_gpu_is_used_by_one_job_at_a_time(run, tmp_path):
    assert run("GPU-a") == {"model": {"GPU-a"}, "table": {""}}
    # The engine held them back: none had to wait for another's device.
    assert not any("other jobs hold the locks" in log.read_text() for log in tmp_path.glob("*.log"))


def test_none_is_used_where_the_command_says_so(run):
    assert run("GPU-a,GPU-b", "--resources", "gpu=0") == {"model": {""}, "table": {""}}
