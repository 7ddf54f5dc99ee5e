"""Fetch a data set of the hub."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.hub import fetch_pairs

    fetch_pairs(
        source=snakemake.params.cfg["source"],
        output=snakemake.output.rows,
        manifest=snakemake.output.manifest,
    )
