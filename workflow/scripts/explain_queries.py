"""Find the queries that each variant moved most, and the kinds of queries that it helps or hurts."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.explaining.queries.explain import explain_queries

    explain_queries(
        measures=snakemake.input.measures,
        runs=list(snakemake.input.runs),
        qrels=snakemake.input.qrels,
        queries=snakemake.input.queries,
        corpus=list(snakemake.input.corpus),
        moved_table=snakemake.output.moved,
        strata_table=snakemake.output.strata,
        replaced_table=snakemake.output.replaced,
        exchanges_table=snakemake.output.exchanges,
        **snakemake.params.cfg,
    )
