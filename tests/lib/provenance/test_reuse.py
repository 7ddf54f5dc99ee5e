"""The cache between studies: whole entries are used, anything else is noticed, and nothing of it stops a job."""

import contextlib
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from snakemake.iocontainers import Params

from backfire.encoders.folders import contents
from backfire.provenance.cache import MANIFEST, VARIABLE, reusing, reusing_of

# What a process of its own runs: arguments are the folder of outputs, megabytes of the first, and a file to wait for.
JOB = """
import logging, sys, time
from pathlib import Path
from backfire.provenance.cache import reusing

folder, megabytes, until = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(exist_ok=True)
logging.basicConfig(filename=folder / "log", level=logging.INFO)
outputs = {"large": str(folder / "large.bin"), "small": str(folder / "small.txt")}
with reusing("rule", {"a": 1}, "code", sys.argv[4], {}, outputs) as found:
    if not found:
        (folder / "begun").touch()
        while not until.exists():
            time.sleep(0.005)
        with open(outputs["large"], "wb") as stream:
            stream.truncate(megabytes << 20)
        Path(outputs["small"]).write_text("small")
"""


@pytest.fixture
def cache(tmp_path, monkeypatch, caplog):
    """The root of a cache that is in use."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def job(folder, caplog, content="abc" * 1000, after=lambda: None, imports="import numpy", **changes):
    """Run a job that writes two files; gives whether it computed, and what the log says."""
    folder.mkdir(exist_ok=True)
    caplog.clear()
    (folder / "in.txt").write_text("input")
    script = folder / f"script {imports}.py"
    script.write_text(imports)
    outputs = {"lines": [str(folder / "a.txt"), str(folder / "b.txt")], "cost": str(folder / "cost.json")}
    arguments = {
        "rule": "rule",
        "cfg": {"a": 1, "label": str(folder)},
        "code": "code",
        "script": str(script),
    }
    arguments |= {"inputs": {"text": str(folder / "in.txt")}, "outputs": outputs}
    with reusing(**(arguments | changes)) as found:
        if not found:
            for number, path in enumerate([*outputs["lines"], outputs["cost"]]):
                Path(path).write_text(f"{number} {content}")
        after()
    assert [Path(path).read_text()[0] for path in [*outputs["lines"], outputs["cost"]]] == ["0", "1", "2"]
    assert all(Path(path).read_text()[2:] == content for path in outputs["lines"])
    assert not list(folder.glob("*partial*")) and not list(folder.glob(".*"))
    return not found, caplog.text


def entries(cache):
    return sorted(path for path in cache.glob("??/*") if len(path.name) == 64)


def leftovers(cache):
    return [path for path in cache.glob("??/.*") if path.is_dir()]


def test_another_folder_takes_what_the_first_one_kept(cache, caplog, tmp_path):
    computed, told = job(tmp_path / "one", caplog)
    (entry,) = entries(cache)
    assert computed and f"kept as {entry}" in told
    computed, told = job(tmp_path / "two", caplog)
    assert not computed and f"reused from {entry}" in told
    assert sorted(path.name for path in entry.iterdir()) == ["cost.json", "lines-1.txt", "lines-2.txt", MANIFEST]
    assert json.loads((entry / MANIFEST).read_text())["made of"]["settings"] == {"a": 1}
    assert str(tmp_path) not in (entry / MANIFEST).read_text()


def test_a_later_change_of_results_leaves_the_entry_as_it_is(cache, caplog, tmp_path):
    job(tmp_path / "one", caplog)
    job(tmp_path / "two", caplog)
    for name in ("one", "two"):
        with (tmp_path / name / "a.txt").open("r+b") as stream:
            stream.write(b"changed in place")
    assert not job(tmp_path / "three", caplog)[0]


def test_without_a_cache_everything_is_computed(monkeypatch, cache, caplog, tmp_path):
    job(tmp_path / "one", caplog)
    assert job(tmp_path / "two", caplog, when=False) == (True, "")
    monkeypatch.setenv(VARIABLE, "")
    assert job(tmp_path / "two", caplog) == (True, "")
    monkeypatch.delenv(VARIABLE)
    assert job(tmp_path / "two", caplog) == (True, "")


def test_a_failed_job_keeps_nothing(cache, caplog, tmp_path):
    with pytest.raises(ZeroDivisionError):
        job(tmp_path / "one", caplog, after=lambda: 1 / 0)
    assert not entries(cache) and not leftovers(cache)
    assert job(tmp_path / "one", caplog)[0]


def test_whatever_decides_the_outputs_is_part_of_the_key(cache, caplog, tmp_path):
    (tmp_path / "other.txt").write_text("inpuT")
    other, name = str(tmp_path / "other.txt"), str(tmp_path / "one/in.txt")
    job(tmp_path / "one", caplog)
    changes = [
        {"rule": "another"},
        {"cfg": {"a": 2}},
        {"cfg": {"a": 1, "b": None}},
        {"cfg": {"b": 1}},
        {"code": "other"},
        {"imports": "import pyarrow"},
        {"inputs": {"text": other}},
        {"inputs": {"other": name}},
        {"inputs": {"text": [name, other]}},
        {"inputs": {"text": [other, name]}},
        {"facts": lambda: {"arithmetic": "fp32"}},
    ]
    for number, change in enumerate(changes, start=2):
        assert job(tmp_path / "one", caplog, **change)[0], change
        assert len(entries(cache)) == number
        assert not job(tmp_path / "one", caplog, **change)[0], change


def test_one_weight_is_another_model_and_the_same_tokenizer(base_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(base_model, folder)
    before = contents(folder)
    weights = {name: np.array(values) for name, values in load_file(folder / "model.safetensors").items()}
    row = weights["encoder.layer.5.output.dense.weight"][7]
    row[3] = np.nextafter(row[3], np.inf, dtype=row.dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert {name for name, digest in contents(folder).items() if before[name] != digest} == {"model.safetensors"}
    assert contents(folder, weights=False) == {name: before[name] for name in before if "safetensors" not in name}
    for name in ("tokenizer.json", "1_Pooling/config.json", "config_sentence_transformers.json"):
        assert name in before


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncated(path):
    os.truncate(path, path.stat().st_size - 2)


def emptied(path):
    os.truncate(path, 0)


def appended(path):
    path.write_bytes(path.read_bytes() + b"x")


def replaced_by_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = [flipped, truncated, emptied, appended, Path.unlink, replaced_by_a_folder]


@pytest.mark.parametrize("name", ["lines-1.txt", "lines-2.txt", "cost.json", MANIFEST])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_made_anew(cache, caplog, tmp_path, damage, name):
    job(tmp_path / "one", caplog)
    (entry,) = entries(cache)
    before = {path.name: path.read_bytes() for path in entry.iterdir()}
    damage(entry / name)
    computed, told = job(tmp_path / "two", caplog)
    assert computed and f"{entry} is damaged, is removed and will be made anew" in told and name in told
    assert f"kept as {entry}" in told
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before
    assert not job(tmp_path / "two", caplog)[0]


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "\0\xff", '{"files": {}}', "[" * 100000])
def test_a_manifest_of_anything_else_is_damage(cache, caplog, tmp_path, text):
    job(tmp_path / "one", caplog)
    (entry,) = entries(cache)
    (entry / MANIFEST).write_text(text, encoding="latin-1")
    assert job(tmp_path / "two", caplog)[0]
    assert not job(tmp_path / "two", caplog)[0]


def test_an_entry_in_the_place_of_another_is_damage(cache, caplog, tmp_path):
    job(tmp_path / "one", caplog, content="first")
    (first,) = entries(cache)
    job(tmp_path / "one", caplog, content="second", code="other")
    (second,) = set(entries(cache)) - {first}
    shutil.rmtree(first)
    shutil.copytree(second, first)
    computed, told = job(tmp_path / "two", caplog, content="first")
    assert computed and "that of another entry" in told


def start(folder, megabytes, until):
    return subprocess.Popen([sys.executable, "-c", JOB, str(folder), str(megabytes), str(until), __file__])


def wait_for(condition):
    """Wait for what another process brings about; one that has died brings nothing, and the test ends all the same."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + 300, "it never came"
        time.sleep(0.002)


def test_of_two_at_once_the_second_waits_and_reuses(cache, tmp_path):
    go = tmp_path / "go"
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = [start(folder, 1, go) for folder in folders]
    told = lambda: "".join((folder / "log").read_text() for folder in folders if (folder / "log").exists())  # noqa: E731
    wait_for(lambda: "waiting for it to end" in told())
    assert sum((folder / "begun").exists() for folder in folders) == 1
    go.touch()
    assert [process.wait() for process in processes] == [0, 0]
    assert sum((folder / "begun").exists() for folder in folders) == 1
    assert told().count("kept as") == told().count("reused from") == 1
    assert all((folder / "large.bin").read_bytes() == bytes(1 << 20) for folder in folders)
    assert len(entries(cache)) == 1 and not leftovers(cache)


def test_without_locks_both_compute_and_one_entry_stays(cache, tmp_path):
    """Somebody deletes the lock while it is held, which is as if there were none."""
    folders, gates = [tmp_path / "one", tmp_path / "two"], [tmp_path / "go-1", tmp_path / "go-2"]
    first = start(folders[0], 1, gates[0])
    wait_for((folders[0] / "begun").exists)
    next(cache.glob("??/*.lock")).unlink()
    second = start(folders[1], 1, gates[1])
    wait_for((folders[1] / "begun").exists)
    gates[1].touch()
    assert second.wait() == 0
    gates[0].touch()
    assert first.wait() == 0
    assert "was first to keep" in (folders[0] / "log").read_text()
    assert "kept as" in (folders[1] / "log").read_text()
    assert all((folder / "large.bin").read_bytes() == bytes(1 << 20) for folder in folders)
    assert len(entries(cache)) == 1 and not leftovers(cache)


def test_a_kill_while_an_entry_is_written_leaves_nothing_that_is_used(cache, tmp_path):
    go, pauses = tmp_path / "go", [0, 0.01, 0.05]
    go.touch()
    while pauses:
        before = leftovers(cache)
        process = start(tmp_path / "one", 256, go)
        wait_for(lambda: set(leftovers(cache)) - set(before) or process.poll() is not None)  # noqa: B023
        time.sleep(pauses[0])
        process.kill()
        if process.wait() == 0:
            # On a busy machine it may end before it is killed.
            shutil.rmtree(cache)
            continue
        pauses.pop(0)
        assert not entries(cache) and len(leftovers(cache)) == 1
    assert start(tmp_path / "two", 256, go).wait() == 0
    assert (tmp_path / "two/begun").exists()
    assert "kept as" in (tmp_path / "two/log").read_text() and not leftovers(cache)
    assert start(tmp_path / "three", 256, go).wait() == 0
    assert not (tmp_path / "three/begun").exists()


def test_a_full_disk_is_a_warning(cache, caplog, tmp_path):
    """The limit on the size of a file stands for it; it comes into force when the job has computed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        after = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # noqa: E731
        computed, told = job(tmp_path / "one", caplog, after=after)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert computed and "not kept as" in told and "its room" in told
    assert not entries(cache) and not leftovers(cache)


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_a_root_that_is_no_folder_is_a_warning(monkeypatch, cache, caplog, tmp_path, root):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / root))
    computed, told = job(tmp_path / "one", caplog)
    assert computed and "not kept as" in told and f"look at the folder that {VARIABLE} names" in told


@contextlib.contextmanager
def without_rights():
    """As a user for whom the rights of files hold."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# Others may perhaps not enter the folders of installed packages.
NOTHING = {"imports": ""}


@contextlib.contextmanager
def kept_where_others_may_enter(monkeypatch, caplog):
    """A folder, which those of pytest are not, with a cache that holds an entry and the job that made it, `one`."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        monkeypatch.setenv(VARIABLE, str(folder / "cache"))
        job(folder / "one", caplog, **NOTHING)
        yield folder


def test_a_root_that_may_only_be_read_is_read(monkeypatch, cache, caplog):
    with kept_where_others_may_enter(monkeypatch, caplog) as folder:
        for path in folder.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        folder.chmod(0o777)
        with without_rights():
            computed, told = job(folder / "two", caplog, **NOTHING)
            assert not computed and "reused from" in told and "WARNING" not in told
            computed, told = job(folder / "two", caplog, code="other", **NOTHING)
            assert computed and "not kept as" in told and "Permission denied" in told
        for path in folder.rglob("*"):
            path.chmod(0o755)


def test_a_file_of_an_entry_that_may_not_be_read_is_computed(monkeypatch, caplog):
    with kept_where_others_may_enter(monkeypatch, caplog) as folder:
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for path in (folder / "cache").glob("??/*/[!m]*.*"):
            path.chmod(0)
        folder.chmod(0o777)
        with without_rights():
            computed, told = job(folder / "two", caplog, **NOTHING)
        assert computed and "cannot be read (Permission denied)" in told


@pytest.mark.parametrize("copy", ["", "tmpk3_x0.", "tmp.k3."])
def test_a_script_goes_by_its_name_wherever_the_engine_runs_it(cache, tmp_path, copy):
    """The engine runs a copy with something before its name; what one copy made another one takes."""
    script = tmp_path / f"{copy}count_terms.py"
    script.write_text("import json\n")
    params = Params(fromdict={"cfg": {"a": 1, "label": copy}, "code": "code"})
    for place in ("one", "two"):
        outputs = {"terms": str(tmp_path / place)}
        with reusing_of(str(script), params)(inputs={}, outputs=outputs) as found:
            assert found == (place == "two")
            if not found:
                Path(outputs["terms"]).write_text("terms")
    assert json.loads(next(cache.rglob(MANIFEST)).read_text())["made of"]["rule"] == "count_terms"
    with reusing_of(str(script), Params(fromdict={"code": "code"}))(inputs={}, outputs=outputs) as found:
        assert not found, "without settings it is another job"
