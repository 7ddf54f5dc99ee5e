"""Fuse the runs of several variants."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.retrieval.fusion import fuse_runs

    fuse_runs(
        runs=list(snakemake.input.runs),
        queries=snakemake.input.queries,
        output=snakemake.output.run,
        **snakemake.params.cfg,
    )
