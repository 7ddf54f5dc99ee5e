"""Ask a teacher of the study about the passages that took an answer's place."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.explaining.queries.opinions import judge_exchanges

    judge_exchanges(
        exchanges=snakemake.input.exchanges,
        model=snakemake.input.model,
        qrels=snakemake.input.qrels,
        queries=snakemake.input.queries,
        corpus=list(snakemake.input.corpus),
        opinions=snakemake.output.opinions,
        missing_labels=snakemake.output.missing_labels,
        **snakemake.params.cfg,
    )
