"""Disks that are full, closed, late or dated in the future under the real engine: what it says, and that it goes on."""

import errno
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from failingdisk import NoFuse, failing_disk

pytestmark = pytest.mark.workflow
BASE = "results/quickstart/models/base/seed-0"


def _collection(folder):
    """A folder in BEIR layout beneath another, `mine`."""
    mine = folder / "mine"
    (mine / "qrels").mkdir(parents=True)
    (mine / "corpus.jsonl").write_text("".join(f'{{"_id": "d{n}", "text": "Item {n}."}}\n' for n in range(4)))
    (mine / "queries.jsonl").write_text('{"_id": "q", "text": "item 1"}\n')
    (mine / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\n")
    return mine


@pytest.fixture
def results(tmp_path):
    """A function that mounts `results/` of a run in `tmp_path` with other options, or again."""
    folder = tmp_path / "results"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("a file system can only be mounted by root")

    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def test_a_run_goes_on_when_room_is_made(clone, results, tmp_path):
    results("size=20m")
    engine = clone.elsewhere(tmp_path)
    failed = engine.run(BASE)
    text = failed.stdout + failed.stderr
    assert failed.returncode == 1
    assert f"Error: {BASE}/model.safetensors: No space left on device (0.0 MiB were free" in text
    assert "Hint: make room there and run again" in text
    assert not list((tmp_path / "results").rglob("*.safetensors")), "neither whole nor half"
    results("remount,size=200m")
    engine.succeed(BASE)
    assert (tmp_path / BASE / "model.safetensors").stat().st_size > 90_000_000


def test_results_that_cannot_be_written_to_are_named(clone, results, tmp_path):
    results("ro")
    failed = clone.elsewhere(tmp_path).run(BASE)
    assert failed.returncode == 1
    assert "Read-only file system: 'results/quickstart'" in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    ("call", "number", "said"),
    [("close", errno.EDQUOT, "Disk quota exceeded"), ("read", errno.EIO, "Input/output error")],
)
def test_a_run_on_a_disk_that_fails_goes_on_when_it_is_mended(clone, tmp_path, call, number, said):
    """All of a run, the engine's own files too, on a disk that does not keep, or not give, the first table."""
    try:
        with failing_disk(tmp_path) as (disk, fail):
            _collection(disk)
            engine, wanted = clone.on("folder").elsewhere(disk), "data/mine/manifest.json"
            if call == "read":
                engine.succeed("data/mine/corpus/manifest.json")
            fail({"call": call, "name": "*.parquet", "errno": number})
            failed = engine.run(wanted)
            text = failed.stdout + failed.stderr
            assert failed.returncode == 1
            named = re.search(rf"^Error: (\S+\.parquet): {said}.*\nHint: (make room|look at)", text, re.MULTILINE)
            assert named, text[-3000:]
            assert (disk / named[1]).exists() == (call == "read"), "what was whole stays, what was not is gone"
            fail()
            again = engine.succeed(wanted)
            assert "rule export_corpus:" not in again or call == "close"
            assert "Nothing to be done" in engine.succeed(wanted)
    except NoFuse as error:
        pytest.skip(f"no file system can be mounted through FUSE: {error}")


def test_a_source_from_the_future_is_named_and_is_no_loop(clone, tmp_path):
    """Where clocks differ, an output would be older than its source and made again at each start."""
    mine = _collection(tmp_path)
    engine, wanted = clone.on("folder").elsewhere(tmp_path), "data/mine/corpus/manifest.json"
    os.utime(mine / "corpus.jsonl", (time.time() + 3600,) * 2)
    failed = engine.run(wanted)
    text = failed.stdout + failed.stderr
    assert failed.returncode == 1
    assert "older modification time" in text and "mine/corpus.jsonl" in text and "clock skew" in text
    assert not list((tmp_path / "data").rglob("*.parquet"))
    os.utime(mine / "corpus.jsonl")
    engine.succeed(wanted)
    assert "Nothing to be done" in engine.succeed(wanted)


def test_a_job_waits_for_files_that_come_late_and_names_those_that_never_do(clone, tmp_path):
    """A job as a cluster starts it, on a node where a file of the shared disk is not to be seen yet."""
    _collection(tmp_path)
    engine, wanted = clone.on("folder").elsewhere(tmp_path), "data/mine/manifest.json"
    engine.succeed(wanted)
    manifest, corpus = tmp_path / wanted, tmp_path / "data/mine/corpus/manifest.json"
    whole, held = manifest.read_bytes(), corpus.rename(tmp_path / "held.json")
    manifest.unlink()
    job = [wanted, "--target-jobs", "describe_collection:collection=mine", "--allowed-rules", "describe_collection"]
    job += ["--force", "--mode", "remote", "--nolock", "--latency-wait"]

    def described(wait):
        failed = engine.run(*job, wait)
        return failed.returncode, failed.stdout + failed.stderr

    status, text = described("1")
    assert status == 1 and "data/mine/corpus/manifest.json" in text and not manifest.exists()
    with ThreadPoolExecutor() as pool:
        late = pool.submit(described, "60")
        # By then it waits, or on a slow machine it never had to.
        time.sleep(6)
        held.rename(corpus)
        status, text = late.result()
    assert status == 0, text
    assert manifest.read_bytes() == whole
