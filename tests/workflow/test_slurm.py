"""`snakemake --profile slurm` as it is shipped, against a real Slurm: what is asked for, and what happens to faults."""

import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

import realslurm
from backfire.formats.tables import read_rows
from backfire.jobs.logs import usable_threads
from checkout import copy_of_the_workflow
from engines import engines

pytestmark = [pytest.mark.workflow, pytest.mark.long]
RESULTS = "results/tiny"
# What depends on neither clock nor machine, nor on what other variants there are.
COMPARED = ["measures", "ties", "moved", "geometry"]
LOCAL = {"prepare_base", "describe_collection", "measure_run", "recommend", "tabulate", "write_report", "check_results"}
LOCAL |= {"all"}
LOCAL |= {f"collect_{what}" for what in ("measures", "geometry", "cost")}
LOCAL |= {f"plot_{what}" for what in ("effects", "queries", "dynamics", "projection", "cost", "recommendation")}
ON_GPU = {"settle_arithmetic", "encode_corpus", "encode_queries", "train_variant", "measure_latency", "mine_hard"}
THREADED = {*ON_GPU - {"train_variant"}, "index_shard", "rank"}
# Fewer jobs with the same results: both shards in one, negatives searched in one part, one trained variant.
OVERLAY = "encoding: {shards_per_job: 2}\nmining: {parts: 1}\nprotocol: null\nvariants: {full_bm25: null}\n"
VARIANTS = ("base", "lora_hard")
BATCHED = {"tokenize_corpus": 1, "encode_corpus": 2, "index_shard": 2}


class OnSlurm:
    """A clone of the workflow in which the tiny study is run by Slurm."""

    def __init__(self, clone: Path):
        self.clone = clone

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """The command of the documentation, in the clone."""
        arguments += ("--profile", "slurm", "--slurm-keep-successful-logs")
        arguments += ("--slurm-init-seconds-before-status-checks", "2")
        arguments += ("--configfile", "tests/studies/tiny.yaml", "overlay.yaml")
        done = engines().run(arguments, self.clone, stderr=subprocess.STDOUT)
        print(done.stdout)
        return done

    def succeed(self, *arguments: str) -> str:
        """Run, expect success, and give all that was printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def forget(self, target: str) -> str:
        """Delete a result, so that its job has to run, and give its path again."""
        path = self.clone / target
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return target


def submitted(text):
    """What the engine says of each job that it submitted: {Slurm's job id: {rule, threads, mem_mb, runtime, gpu}}."""
    asked, found = {}, {}
    for block in re.split(r"\n(?=\[\w{3} \w{3} )|\n\n", text):
        head = re.search(r"^rule (\w+):\n", block, re.MULTILINE)
        number = re.search(r"^    jobid: (\d+)$", block, re.MULTILINE)
        if head and number:
            resources = dict(re.findall(r"(\w+)=(\d+)(?:,|$)", block.split("resources: ")[1].splitlines()[0]))
            threads = re.search(r"^    threads: (\d+)$", block, re.MULTILINE)
            asked[number[1]] = {"rule": head[1], "threads": int(threads[1]) if threads else 1} | {
                name: int(resources.get(name, 0)) for name in ("mem_mb", "runtime", "gpu")
            }
        for job, slurm_id in re.findall(r"Job (\d+) has been submitted with SLURM jobid (\d+)", block):
            found[slurm_id] = asked[job]
    return found


def given(fields):
    """Of a Slurm job's fields, the same as `submitted` says."""
    tres = dict(part.split("=") for part in fields["TRES"].split(","))
    days, _, clock = fields["TimeLimit"].rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    memory = tres["mem"]
    return {
        "threads": int(tres["cpu"]),
        "mem_mb": round(float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]),
        "runtime": int(days or 0) * 1440 + hours * 60 + minutes,
        "gpu": int(fields.get("TresPerJob", "gres:gpu:0").removeprefix("gres:gpu:")),
    }


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    reason = realslurm.obstacle()
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with realslurm.running(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(scope="module")
def finished(slurm, tmp_path_factory):
    """The tiny study with one trained variant and no protocol, and all that the engine said."""
    there = OnSlurm(copy_of_the_workflow(tmp_path_factory.mktemp("clone")))
    (there.clone / "overlay.yaml").write_text(OVERLAY)
    # Products are summed in an order that depends on the number of threads, and trained weights keep that in their last
    # digits; a local run of two cores trains with one thread.
    return there, there.succeed("--set-threads", f"train_variant={max(1, usable_threads(8) // 2)}")


def test_a_study_on_slurm_gives_the_results_of_a_local_run(finished, tiny):
    there, _ = finished
    for name in COMPARED:
        ours, theirs = (
            read_rows(folder / f"{RESULTS}/{name}.parquet", name).to_pylist()
            for folder in (there.clone, tiny.directory)
        )
        assert ours and ours == [row for row in theirs if row["variant"] in VARIANTS], name
    page = (there.clone / RESULTS / "report.html").read_text()
    assert all(variant in page for variant in VARIANTS)


def test_a_job_takes_the_shards_that_it_is_told_to(finished):
    _, text = finished
    rules = [request["rule"] for request in submitted(text).values()]
    for rule, jobs in BATCHED.items():
        assert rules.count(f"{rule}_shards_1_to_2") == jobs, rule
        assert rule not in rules


def test_each_job_has_what_was_asked_for(finished):
    there, text = finished
    asked, jobs = submitted(text), realslurm.jobs()
    rules = [request["rule"] for request in asked.values()]
    assert not set(rules) & LOCAL
    assert set(re.findall(r"^localrule (\w+):", text, re.MULTILINE)) == LOCAL
    counts = dict(re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[1].split("total")[0], re.MULTILINE))
    assert {rule: rules.count(rule) for rule in rules} == {
        rule: int(count) for rule, count in counts.items() if rule not in LOCAL
    }
    for number, request in asked.items():
        fields = jobs[number]
        rule = request.pop("rule")
        assert fields["JobState"] == "COMPLETED", (rule, fields)
        assert fields["Comment"].startswith(f"rule_{rule}")
        assert given(fields) == request, rule
        known = rule.partition("_shards_")[0]
        assert request["gpu"] == (known in ON_GPU)
        assert request["mem_mb"] and request["runtime"] and request["threads"] >= 1
        assert request["threads"] == 8 or known not in THREADED
    assert {"mine_hard", "measure_geometry", "compare_variants", "explain_queries"} <= set(rules)


def test_a_job_that_takes_more_memory_than_it_has_is_tried_again_with_more(finished):
    there, _ = finished
    target = there.forget(f"{RESULTS}/runs/lora_hard/seed-0/tiny/test.trec")
    # The engine's own two processes take more than that.
    text = there.succeed(target, "--set-resources", "rank:mem_mb=100 if attempt == 1 else 600 * attempt")
    first, second = sorted(submitted(text), key=int)
    assert "Trying to restart job" in text
    jobs = realslurm.jobs()
    assert jobs[first]["JobState"] in ("FAILED", "OUT_OF_MEMORY") and given(jobs[first])["mem_mb"] == 100
    assert jobs[second]["JobState"] == "COMPLETED" and given(jobs[second])["mem_mb"] == 1200
    (log,) = there.clone.glob(f".snakemake/slurm_logs/rule_rank/*/{first}.log")
    assert "exceeded memory limit" in log.read_text().lower()
    assert (there.clone / target).is_file()


class Canceller(threading.Thread):
    """Cancels the first job of a rule once that job is at work."""

    def __init__(self, rule: str, log: Path):
        super().__init__(daemon=True)
        self.rule, self.log, self.number = rule, log, None

    def run(self):
        before = set(realslurm.jobs())
        end = time.monotonic() + 120
        while self.number is None and time.monotonic() < end:
            for number, fields in realslurm.jobs().items():
                mine = number not in before and fields["Comment"].startswith(f"rule_{self.rule}_")
                if mine and fields["JobState"] == "RUNNING" and self.log.is_file():
                    subprocess.run(["scancel", number], check=True, timeout=30)
                    self.number = number
                    return
            time.sleep(0.2)


@pytest.fixture
def cancelled(finished):
    """A function that runs the training of one variant and cancels its job; gives the engine's result and the job."""
    there, _ = finished
    target = f"{RESULTS}/models/lora_hard/seed-0"

    def run(*arguments):
        there.forget(target)
        log = there.clone / f"{RESULTS}/logs/train_variant/lora_hard/seed-0.log"
        log.unlink(missing_ok=True)
        canceller = Canceller("train_variant", log)
        canceller.start()
        done = there.run(target, *arguments)
        canceller.join()
        assert canceller.number is not None, done.stdout
        assert realslurm.jobs()[canceller.number]["JobState"] == "CANCELLED"
        return done, canceller.number

    return there, target, run


def test_a_cancelled_job_is_tried_again_with_twice_the_memory_and_time(cancelled):
    there, target, run = cancelled
    done, number = run()
    assert done.returncode == 0
    first, second = sorted(submitted(done.stdout), key=int)
    assert first == number
    before, after = (given(realslurm.jobs()[each]) for each in (first, second))
    assert after == before | {"mem_mb": 2 * before["mem_mb"], "runtime": 2 * before["runtime"]}
    assert (there.clone / target / "model.safetensors").is_file()


def test_a_job_that_failed_is_named_with_its_log_and_runs_in_the_next_invocation(cancelled):
    """Without retries; and without GPUs, by the line of docs/cluster.md."""
    there, target, run = cancelled
    done, number = run("--retries", "0", "--resources", "gpu=0")
    assert done.returncode != 0
    error = done.stdout.split("Error in rule train_variant:")[1]
    assert f"{RESULTS}/logs/train_variant/lora_hard/seed-0.log" in error
    assert f"{number}.log" in error
    assert not (there.clone / target).exists()

    text = there.succeed(target, "--resources", "gpu=0")
    (again,) = submitted(text)
    assert submitted(text)[again]["rule"] == "train_variant"
    assert given(realslurm.jobs()[again])["gpu"] == 0
    assert (there.clone / target / "model.safetensors").is_file()
    assert "Nothing to be done" in there.succeed(target)
