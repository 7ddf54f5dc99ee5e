"""What a machine refuses, injected for real: each gives an error that names the place and the remedy."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from large_files import LARGE, WRITERS, embeddings, vectors

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import write_rows
from backfire.jobs.faults import of_signals

DISK = LARGE // 2


def mounted(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, f"size={DISK}"):
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path):
    """A folder that cannot be written to: on a file system without writing for root, by its mode for anyone else."""
    folder = tmp_path / "closed"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
    elif mounted(folder, "ro"):
        yield folder
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        pytest.skip("root can write everywhere, and nothing can be mounted")


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_full_disk_is_named_with_what_is_free_and_leaves_nothing(small_disk, write, name):
    path = small_disk / name
    with pytest.raises(BackfireError) as caught:
        write(path)
    assert caught.value.message.startswith(f"{path}")
    assert re.search(r": No space left on device \(\d\.\d MiB were free on its file system\)\.$", caught.value.message)
    assert "make room there and run again" in caught.value.hint
    assert list(small_disk.iterdir()) == []


def test_what_was_there_stays_when_the_disk_is_full(small_disk):
    write_json(small_disk / "a.json", {"old": 1})
    with pytest.raises(BackfireError, match="No space left"):
        write_json(small_disk / "a.json", {"new": "x" * LARGE})
    assert read_json(small_disk / "a.json") == {"old": 1}


@pytest.mark.parametrize(("write", "name"), WRITERS[:6])
def test_a_folder_that_cannot_be_written_to_is_named(read_only, write, name):
    with pytest.raises(BackfireError) as caught:
        write(read_only / "new" / name)
    assert caught.value.message.startswith(f"{read_only / 'new'}: ")
    assert re.search("Read-only file system|Permission denied", caught.value.message)
    assert "--directory" in caught.value.hint


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".a.{dead.pid}.partial.json"
    mine = [tmp_path / f".a.{os.getppid()}.partial.json", tmp_path / f".a.b.{dead.pid}.partial.json"]
    for path in (left, *mine):
        path.write_text("half")
    write_json(tmp_path / "a.json", [1])
    assert not left.exists()
    assert all(path.exists() for path in mine)


JOB = """
import resource, sys
from pathlib import Path
from backfire.jobs.logs import job
with job(sys.argv[1]):
    {}
"""


def job(log, body, **options):
    """Run a body as a job in a process of its own; gives what it printed."""
    script = JOB.format(body.strip().replace("\n", "\n    "))
    done = subprocess.run(
        [sys.executable, "-c", script, str(log)], capture_output=True, text=True, check=False, timeout=120, **options
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and "Logging error" not in done.stderr
    assert re.search(r"^Error: .*\nHint: .*\n\(traceback in .*\)$", done.stderr, re.MULTILINE), done.stderr
    return done.stderr


def test_a_job_tells_of_a_full_disk_although_its_log_lies_there_too(small_disk):
    text = job(small_disk / "logs/a.log", f"(Path({str(small_disk)!r}) / 'a').write_bytes(bytes({LARGE}))")
    assert f"Error: {small_disk / 'logs'}" not in text
    assert "No space left on device" in text and "make room" in text


def test_a_job_without_room_for_its_output_fills_the_disk_and_says_so(small_disk):
    body = f"""
    from backfire.formats.atomic import write_json
    (Path({str(small_disk)!r}) / 'ballast').write_bytes(bytes({DISK - 65536}))
    import logging
    logging.info("x" * 100_000)
    write_json({str(small_disk / "a.json")!r}, ["x" * 100_000])
    """
    text = job(small_disk / "logs/a.log", "\n".join(line.strip() for line in body.splitlines()))
    assert f"{small_disk / 'a.json'}: No space left on device (0.0 MiB were free" in text
    assert not (small_disk / "a.json").exists()


def test_a_job_whose_log_cannot_be_written_says_so(read_only):
    text = job(read_only / "logs/a.log", "print('never')")
    assert re.search(rf"Error: {read_only / 'logs'}: (Read-only file system|Permission denied)\.", text)


def test_a_limit_on_the_size_of_files(tmp_path):
    body = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from backfire.formats.atomic import write_json
write_json({str(tmp_path / "a.json")!r}, ["x" * 200_000])
"""
    text = job(tmp_path / "a.log", body)
    assert f"{tmp_path / 'a.json'}: File too large." in text and "ulimit -f" in text
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


MEMORY = """
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
"""


@pytest.mark.parametrize(
    ("imported", "wanted"),
    [
        ("import numpy", "numpy.ones(1 << 28)"),
        ("import torch", "torch.ones(1 << 28)"),
        ("import pyarrow", "pyarrow.allocate_buffer(1 << 28)"),
        ("import faiss", "faiss.Float32Vector().resize(1 << 28)"),
        ("", "bytes(1 << 28)"),
    ],
)
def test_memory_that_is_not_there(tmp_path, imported, wanted):
    text = job(tmp_path / "a.log", f"{imported}{MEMORY}{wanted}")
    assert "Error: not enough memory on " in text
    assert "encoding.batch_tokens" in text and "mem_mb" in text
    assert "Traceback" in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize(
    "raised",
    [
        "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')",
        "torch.AcceleratorError('CUDA error: out of memory')",
        "RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`')",
        "RuntimeError('cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED')",
        "RuntimeError('Error in StandardGpuResourcesImpl::allocMemory: cudaMalloc error out of memory [2]')",
    ],
)
def test_memory_that_a_gpu_has_not(tmp_path, raised):
    text = job(tmp_path / "a.log", f"import torch{MEMORY}raise {raised}")
    assert "Error: not enough memory on a GPU of " in text and "nvidia-smi" in text
    assert "mem_mb" not in text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGKILL, ["out of memory"]),
        (signal.SIGBUS, ["the disk did not give a file"]),
        (signal.SIGTERM, []),
    ],
)
def test_what_may_be_behind_a_signal(tmp_path, number, said):
    """In the words of Python, which the engine repeats (see tests/workflow/test_memory.py)."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run([sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(number)})"], check=True)
    (tmp_path / "engine.log").write_text(f"Finished jobid: 1\n{caught.value}\n")
    found = of_signals([tmp_path / "engine.log"])
    assert len(found) == len(said) and all(words in each.message for words, each in zip(said, found, strict=True))
    assert of_signals([tmp_path / "none.log"]) == []


def test_a_whole_file_that_memory_is_missing_for_is_not_called_damaged(tmp_path):
    embeddings(tmp_path / "a.parquet")
    write_embeddings(tmp_path / "b.parquet", "doc_id", [f"d{i}" for i in range(1 << 19)], vectors(1 << 19))
    read = "from backfire.formats.embeddings import read_embeddings\nread_embeddings({!r}, 'doc_id')\n"
    body = read.format(str(tmp_path / "a.parquet")).strip() + MEMORY + read.format(str(tmp_path / "b.parquet"))
    text = job(tmp_path / "a.log", body)
    assert "not enough memory" in text and "not a readable" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import no_such_dependency", "ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("raise ImportError('libmissing.so.1: cannot open shared object file')", "libmissing.so.1: cannot open"),
        ("import ctypes\nctypes.CDLL('libmissing.so.1')", "libmissing.so.1: cannot open shared object"),
        ("raise ValueError('numpy.dtype size changed')", "ValueError: numpy.dtype size changed"),
    ],
)
def test_a_package_that_is_broken_on_a_node(tmp_path, content, said):
    (tmp_path / "shadow/faiss").mkdir(parents=True)
    (tmp_path / "shadow/faiss/__init__.py").write_text(content)
    places = [str(tmp_path / "shadow"), *filter(None, [os.environ.get("PYTHONPATH")])]
    body = "import numpy\nfrom backfire.retrieval.index import build_index\nbuild_index(numpy.ones((2, 4)), 'Flat')"
    text = job(tmp_path / "a.log", body, env=os.environ | {"PYTHONPATH": os.pathsep.join(places)})
    package = "no_such_dependency" if "no_such" in content else "faiss"
    assert f"the package '{package}' cannot be imported on {os.uname().nodename} by {sys.executable}" in text
    assert said in text
    assert "requirements.lock" in text


def test_a_model_that_gives_no_numbers_is_told_where_it_encodes(base_model, tmp_path):
    """Its file is sound, its numbers are not: no checksum tells."""
    from safetensors.torch import load_file, save_file

    from backfire.encoders.encoding import encode_queries

    shutil.copytree(base_model, tmp_path / "model")
    weights = load_file(tmp_path / "model/model.safetensors")
    weights["embeddings.word_embeddings.weight"][2054] = float("inf")  # what
    save_file(weights, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    rows = [{"query_id": "fine", "text": "a market"}, {"query_id": "broken", "text": "what about it"}]
    write_rows(tmp_path / "queries.parquet", "queries", rows)
    output = tmp_path / "embeddings.parquet"
    with pytest.raises(BackfireError, match=f"{output}: the embedding of query_id 'broken' is not finite"):
        encode_queries(str(tmp_path / "model"), str(tmp_path / "queries.parquet"), output, 16, "fp32", None, None)
    assert not output.exists()
