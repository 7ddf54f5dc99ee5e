"""A disk that fails in the midst of things: an error names the file, nothing half is left, nothing whole is lost."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from large_files import READERS, WRITERS, weights

from backfire.datasets.folder import folder_dataset
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.weights import read_weights
from backfire.training.checkpoints import Checkpoints, Pace, State
from failingdisk import NoFuse, failing_disk

SAID = {
    errno.EIO: ("Input/output error", "look at the disk"),
    errno.ESTALE: ("Stale file handle", "look at the disk"),
    errno.EDQUOT: ("Disk quota exceeded", "make room there"),
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A failing disk, and the function that sets its faults."""
    try:
        with failing_disk(tmp_path_factory.mktemp("fuse")) as found:
            yield found
    except NoFuse as error:
        pytest.skip(f"no file system can be mounted through FUSE: {error}")


@pytest.fixture(autouse=True)
def mended(disk):
    """Nothing fails, and nothing is there, before a test."""
    folder, fail = disk
    fail()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def forget():
    """Let the kernel read files anew, where it lets us ask for that."""
    os.sync()
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("1")


def entries(folder):
    # What is removed while a library still has it open goes when that lets go.
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".fuse_hidden"))


@pytest.mark.parametrize(
    ("call", "beyond", "number"),
    [
        ("open", 0, errno.ESTALE),
        ("write", 0, errno.EDQUOT),
        ("write", 1 << 19, errno.EIO),
        ("fsync", 0, errno.EIO),
        ("close", 0, errno.EDQUOT),
        ("close", 0, errno.ESTALE),
    ],
)
@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_write_that_fails_is_named_and_leaves_nothing(disk, write, name, call, beyond, number):
    folder, fail = disk
    fail({"call": call, "name": "*", "errno": number, "beyond": beyond})
    with pytest.raises(BackfireError) as caught:
        write(folder / name)
    said, remedy = SAID[number]
    assert caught.value.message.startswith(f"{folder / name}") and said in caught.value.message
    assert remedy in caught.value.hint
    assert entries(folder) == []
    fail()
    write(folder / name)
    assert name in entries(folder)


def test_what_was_there_stays_when_its_successor_cannot_be_closed(disk):
    folder, fail = disk
    write_json(folder / "a.json", {"old": 1})
    fail({"call": "close", "name": ".a.*", "errno": errno.EDQUOT})
    with pytest.raises(BackfireError, match="quota"):
        write_json(folder / "a.json", {"new": 1})
    fail()
    assert read_json(folder / "a.json") == {"old": 1}


@pytest.mark.parametrize(
    ("call", "beyond", "number"), [("open", 0, errno.ESTALE), ("read", 0, errno.EIO), ("read", 1_500_000, errno.EIO)]
)
@pytest.mark.parametrize(("write", "read", "name"), READERS)
def test_a_file_that_cannot_be_read_is_named_and_not_called_damaged(disk, write, read, name, call, beyond, number):
    folder, fail = disk
    write(folder / name)
    forget()
    fail({"call": call, "name": "*", "errno": number, "beyond": beyond})
    with pytest.raises(BackfireError) as caught:
        read(folder / name)
    assert caught.value.message.startswith(f"{folder / name}")
    assert SAID[number][0] in caught.value.message and "damaged" not in str(caught.value)
    fail()
    read(folder / name)


def test_a_collection_that_cannot_be_read_to_its_end_is_named(disk):
    folder, fail = disk
    (folder / "qrels").mkdir()
    lines = "".join(f'{{"_id": "d{number}", "text": "{"x" * 1000}"}}\n' for number in range(1000))
    (folder / "corpus.jsonl").write_text(lines)
    forget()
    fail({"call": "read", "name": "corpus.jsonl", "errno": errno.EIO, "beyond": 500_000})
    with pytest.raises(BackfireError, match=f"{folder}/corpus.jsonl: Input/output error"):
        list(folder_dataset(str(folder)).docs_iter())


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_checkpoint_that_cannot_be_read_is_kept(disk, call):
    """It may be read when the disk is back; a damaged one would be removed."""
    folder, fail = disk
    kept = Checkpoints(folder, Pace())
    kept.write(1, State({"weights/a": torch.ones(1 << 19)}, {"taken": 1}))
    forget()
    fail({"call": call, "name": "*.safetensors", "errno": errno.ESTALE})
    with pytest.raises(BackfireError, match="step-000000001.safetensors: Stale file handle"):
        kept.load()
    fail()
    assert kept.load().notes == {"taken": 1}


@pytest.mark.parametrize("call", ["open", "read"])
def test_weights_that_cannot_be_read_are_not_called_missing(disk, call):
    folder, fail = disk
    weights(folder / "seed-0")
    forget()
    fail({"call": call, "name": "*.safetensors", "errno": errno.EIO})
    with pytest.raises(BackfireError, match="model.safetensors: Input/output error"):
        read_weights(folder / "seed-0/model.safetensors")


def test_a_signal_that_ends_a_job_leaves_its_place_in_the_log(disk, tmp_path):
    """The kernel ends a process that reads a mapped file which the disk does not give."""
    folder, fail = disk
    weights(folder / "seed-0")
    forget()
    fail({"call": "read", "name": "*.safetensors", "errno": errno.EIO, "beyond": 1 << 20})
    body = f"""
from backfire.jobs.logs import job
from safetensors.torch import load_file
with job({str(tmp_path / "a.log")!r}):
    print(load_file({str(folder / "seed-0/model.safetensors")!r}))
"""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGBUS, done.stdout + done.stderr
    text = (tmp_path / "a.log").read_text()
    assert "Fatal Python error: Bus error" in text and 'File "<string>", line 5' in text
