"""Scripts are run as the engine runs them."""

import runpy

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
