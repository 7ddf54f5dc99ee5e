"""Join the queries and judgments of several collections."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.joining import join_tables

    parts = snakemake.params.cfg["parts"]
    join_tables("queries", list(snakemake.input.queries), parts, snakemake.output.queries)
    join_tables("qrels", list(snakemake.input.qrels), parts, snakemake.output.qrels)
