"""Put the first passages of a run into the order of a cross-encoder."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.retrieval.reranking import rerank

    rerank(
        run=snakemake.input.run[0],
        queries=snakemake.input.queries,
        corpus=list(snakemake.input.corpus),
        model=snakemake.input.model,
        output=snakemake.output.run,
        cost=snakemake.output.cost,
        **snakemake.params.cfg,
    )
