"""Writes the jobs of a dry run, in an order in which they can run, each as the engine hands it to its script.

    python dag.py <Snakefile> <directory> <file to write> <configuration file>

A process of its own, since reading a workflow changes the process that does it.
"""

import pickle
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.script import Snakemake
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings


def jobs(snakefile: Path, directory: Path, configuration: Path) -> list[tuple[str, Snakemake]]:
    """(name of the script, what it finds under the name `snakemake`) of each job."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[configuration]),
            snakefile=snakefile,
            workdir=directory,
        )
        workflow.dag(DAGSettings()).execute_workflow(executor="dryrun")
        ordered = [
            job
            for level in workflow._workflow.dag.toposorted()
            for job in sorted(level, key=lambda job: (job.rule.name, str(job.wildcards)))
        ]
        return [
            (
                Path(job.rule.script).stem,
                Snakemake(
                    job.input._plainstrings(),
                    job.output._plainstrings(),
                    job.params,
                    job.wildcards,
                    job.threads,
                    job.resources,
                    job.log._plainstrings(),
                    {},
                    job.rule.name,
                    None,
                ),
            )
            for job in ordered
            if job.rule.script
        ]


if __name__ == "__main__":
    snakefile, directory, output, configuration = map(Path, sys.argv[1:])
    output.write_bytes(pickle.dumps(jobs(snakefile, directory, configuration)))
