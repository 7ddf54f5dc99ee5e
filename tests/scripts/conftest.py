"""Scripts are run as the engine runs them."""

import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Wildcards
from snakemake.script import Snakemake


@pytest.fixture(scope="session")
def script(root):
    """A function that runs a script, whose log goes to `logs/` of a folder."""

    def container(kind, values):
        if not isinstance(values, dict):
            return kind(toclone=values)
        box = kind()
        for name, value in values.items():
            start = len(box)
            for path in [value] if isinstance(value, str) else value:
                box.append(path)
            # As the engine does: a name stands for one path, or for a list of them.
            box._set_name(name, start, end=None if isinstance(value, str) else len(box))
        return box

    def call(name, folder, inputs=(), outputs=(), cfg=None, code="test", **wildcards):
        engine = Snakemake(
            container(InputFiles, inputs),
            container(OutputFiles, outputs),
            Params(fromdict={"cfg": cfg, "code": code, "checkpoints": str(folder / "checkpoints")}),
            Wildcards(fromdict=wildcards),
            2,
            ResourceList(fromdict={}),
            Log(toclone=[str(folder / f"logs/{name}.log")]),
            {},
            name,
            None,
        )
        runpy.run_path(str(root / f"workflow/scripts/{name}.py"), init_globals={"snakemake": engine})

    return call


@pytest.fixture(scope="session")
def planned(root):
    """A function that gives the jobs of a study, each with the parameters that its rule makes: see `dag.jobs`."""

    def jobs(study, directory):
        output = directory / "jobs.pickle"
        reader = Path(__file__).with_name("dag.py")
        command = [sys.executable, str(reader), str(root / "Snakefile"), str(directory), str(output), str(root / study)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return pickle.loads(output.read_bytes())

    return jobs


@pytest.fixture(scope="session")
def run_job(root):
    """A function that runs the script of a planned job in a folder, as the engine does."""

    def run(script, snakemake, directory):
        before = Path.cwd()
        os.chdir(directory)
        try:
            for path in map(Path, snakemake.output):
                path.parent.mkdir(parents=True, exist_ok=True)
            runpy.run_path(str(root / f"workflow/scripts/{script}.py"), init_globals={"snakemake": snakemake})
        except SystemExit:
            pytest.fail(f"{script} failed: {Path(snakemake.log[0]).read_text()}")
        finally:
            os.chdir(before)

    return run
