"""Collect the embedding statistics of all models in one table."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.explaining.geometry import collect_geometry

    collect_geometry(tables=list(snakemake.input), output=snakemake.output[0])
