"""Runs of the real workflow in folders of their own."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from checkout import copy_of_the_workflow
from engines import engines

# Seconds that a long study may take on a slow machine.
LONG = 18 * 60
# Modules by how long they take, the longest first, so that of two processes neither ends long before the other (.ci/run
# gives whole modules to processes in this order). Others come in between, where it matters little.
LONGEST = ["slurm", "systems_study", "miniature_msmarco", "tiny_study", "bad_input", "reruns", "pairs_study", "plan"]
LONGEST += ["joined_study", "vaswani_study", "ladder_study"]
SHORTEST = ["batches", "kills", "shared_cache", "memory", "architecture"]
# Whether the tests of a module with a long study run, decided when its first one is due.
_due: dict[str, bool] = {}


def pytest_collection_modifyitems(items):
    """Put the modules of this folder in the order of `LONGEST`."""
    order = {name: place for place, name in enumerate([*LONGEST, "", *SHORTEST])}

    def place(item) -> int:
        name = item.path.stem.removeprefix("test_")
        return order.get(name, order[""]) if item.path.parent == Path(__file__).parent else -1

    items.sort(key=place)


def pytest_runtest_setup(item):
    """Skip what .ci/run has no time for on a slow machine, a long study the earlier, so that the tests end at all."""
    left = float(os.environ.get("BACKFIRE_TESTS_UNTIL", "inf")) - time.time()
    due = left > 0
    if item.get_closest_marker("long"):
        due = _due.setdefault(item.module.__name__, left > LONG)
    if not due:
        pytest.skip("the time for tests is spent: this machine is slow")


@dataclass(frozen=True)
class Engine:
    """Snakemake on a copy of the workflow in `source`, working in `directory`."""

    source: Path
    directory: Path
    study: Path

    def on(self, study: str) -> "Engine":
        """The same workflow on another study of tests/studies."""
        return replace(self, study=self.source / f"tests/studies/{study}.yaml")

    def elsewhere(self, directory: Path) -> "Engine":
        """The same workflow and study, working in another folder."""
        directory.mkdir(exist_ok=True)
        return replace(self, directory=directory)

    def given(self, base: Path, study: str | None = None) -> "Engine":
        """The same, with the base in place as another study prepared it: trying it out takes as long as ten jobs."""
        study = study or yaml.safe_load(self.study.read_text())["study"]
        shutil.copytree(base, self.directory / f"results/{study}/models/base/seed-0")
        return self

    def cloned(self, directory: Path) -> "Engine":
        """The same study in a fresh clone."""
        source = copy_of_the_workflow(directory)
        return Engine(source, source, source / self.study.relative_to(self.source))

    def run(
        self, *arguments: str, overlays: tuple[Path, ...] = (), through: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess:
        """Run Snakemake to its end, by a command `through` if there is one; the caller checks the exit status."""
        arguments += ("--cores", "8", "--directory", str(self.directory), "--snakefile", str(self.source / "Snakefile"))
        arguments += ("--configfile", str(self.study), *map(str, overlays))
        if not through:
            return engines().run(arguments, self.directory)
        command = [*through, sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False)

    def succeed(self, *arguments: str, overlays: tuple[Path, ...] = ()) -> str:
        """Run, expect success, and give all that was printed."""
        done = self.run(*arguments, overlays=overlays)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    def planned(self, *arguments: str, overlays: tuple[Path, ...] = ()) -> list[str]:
        """Rules that a dry run would run, with the wildcards of each, sorted; `all` and seed 0 left out."""
        text = self.succeed("-n", *arguments, overlays=overlays)
        jobs, rule = [], None
        for line in text.splitlines():
            if line.startswith(("rule ", "localrule ")):
                rule = line.split()[1].rstrip(":")
                if rule != "all":
                    jobs.append(rule)
            elif line.strip().startswith("wildcards:") and rule and jobs and jobs[-1] == rule:
                pairs = dict(pair.split("=") for pair in line.split("wildcards:")[1].strip().split(", "))
                kept = [
                    f"seed-{value}" if name == "seed" else value
                    for name, value in pairs.items()
                    if name not in ("study", "collection", "shards", "depth") and (name, value) != ("seed", "0")
                ]
                jobs[-1] = " ".join([rule, *kept])
        return sorted(jobs)


@pytest.fixture
def overlay(tmp_path):
    """A function that writes settings as an overlay."""

    def write(settings):
        path = tmp_path / "overlay.yaml"
        path.write_text(yaml.safe_dump(settings))
        return (path,)

    return write


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Engine:
    """A copy of the workflow, to be run on the default study elsewhere."""
    source = copy_of_the_workflow(tmp_path_factory.mktemp("clone"))
    return Engine(source, source, source / "config.yaml")


@pytest.fixture(scope="session")
def prepared_base(clone, tmp_path_factory, worker_id) -> Path:
    """The folder of the base as a study prepares it, made by the first process that wants it."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "base"
    made = "results/tiny/models/base/seed-0"
    with FileLock(folder.with_suffix(".lock")):
        clone.on("tiny").elsewhere(folder).succeed(made)
    return folder / made


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, worker_id) -> Engine:
    """The tiny study, run once in a copy of the workflow; tests may edit the copy if they put it back.

    Where several processes test, the first that wants it runs it, and each has a copy with times of its own.
    """
    if worker_id == "master":
        return _run_tiny(tmp_path_factory.mktemp("tiny"))
    original = tmp_path_factory.getbasetemp().parent / "tiny"
    with FileLock(original.with_suffix(".lock")):
        if not (original / "done").exists():
            original.mkdir(exist_ok=True)
            _run_tiny(original)
            (original / "done").touch()
    source = tmp_path_factory.mktemp("copies") / "tiny"
    shutil.copytree(original, source, symlinks=True)
    return Engine(source, source, source / "tests/studies/tiny.yaml")


def _run_tiny(folder: Path) -> Engine:
    source = copy_of_the_workflow(folder)
    engine = Engine(source, source, source / "tests/studies/tiny.yaml")
    engine.succeed()
    return engine
