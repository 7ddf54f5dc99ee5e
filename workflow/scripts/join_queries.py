"""Join the queries and judgments of several collections."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.joining import join_queries

    join_queries(
        queries=list(snakemake.input.queries),
        qrels=list(snakemake.input.qrels),
        parts=snakemake.params.cfg["parts"],
        judged=list(snakemake.input.judged),
        outputs=(snakemake.output.queries, snakemake.output.qrels),
        manifest=snakemake.output.manifest,
    )
