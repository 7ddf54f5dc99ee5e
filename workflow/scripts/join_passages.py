"""Join the passages of several collections."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.joining import join_tables

    join_tables("corpus", list(snakemake.input), snakemake.params.cfg["parts"], snakemake.output[0])
