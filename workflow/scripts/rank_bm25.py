"""Rank the corpus for the queries of a split by BM25."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.retrieval.lexical import rank_bm25

    rank_bm25(
        terms=snakemake.input.terms,
        corpus=list(snakemake.input.corpus),
        queries=snakemake.input.queries,
        output=snakemake.output.run,
        cost=snakemake.output.cost,
        **snakemake.params.cfg,
    )
