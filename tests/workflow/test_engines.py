"""Engines that are forked are those that `python -m snakemake` starts."""

import json
import os
import subprocess
import sys

import pytest

from engines import engines

pytestmark = pytest.mark.workflow
SNAKEFILE = """
import json, os, signal, sys, tempfile, threading
found = {
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "main": sys.modules["__main__"].__spec__.name,
    "environment": {name: value for name, value in os.environ.items() if not name.startswith("_")},
    "ours": [name for name in sys.modules if name.startswith("backfire")], "temporary": tempfile.gettempdir(),
    "threads": threading.active_count(), "group": os.getpgid(0), "session": os.getsid(0), "rundir": workflow.rundir,
    "signals": [str(signal.getsignal(getattr(signal, f"SIG{name}"))) for name in ("INT", "TERM", "PIPE", "CHLD")],
    "open": [os.readlink(f"/proc/self/fd/{number}").split(":")[0] for number in range(3)],
}
with open(config["out"], "w") as stream:
    json.dump(found, stream)
print("to one"), print("to the other", file=sys.stderr)

rule all:
    default_target: True
    shell: "echo said by a job; exit {config[status]}"
"""


@pytest.mark.parametrize("status", [0, 7])
def test_a_forked_engine_is_what_the_command_starts(tmp_path, monkeypatch, status):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.setenv("PYTHONPATH", f"/one/folder:{tmp_path}:/one/folder")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("NAME", "in the environment, ü")
    arguments = ["--cores", "1", "--quiet", "--config", f"out={tmp_path / 'found.json'}", f"status={status}"]
    command = [sys.executable, "-m", "snakemake", *arguments]
    environment = dict(os.environ)  # Without what C code of this process has set.
    by_hand = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    expected = json.loads((tmp_path / "found.json").read_text())
    forked = engines().run(arguments, tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == expected
    assert found["ours"] == [] and found["threads"] == 1
    assert forked.returncode == by_hand.returncode == bool(status)
    assert (forked.stdout.splitlines()[0], by_hand.stdout) == ("to one", forked.stdout)
    for text in (forked.stderr, by_hand.stderr):
        assert "to the other" in text and ("did not complete successfully" in text) == bool(status)
    both = engines().run(arguments, tmp_path, stderr=subprocess.STDOUT)
    assert both.stderr is None and "to one" in both.stdout and "to the other" in both.stdout
