"""Rank the corpus for the queries of a split."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads) as threads:
    from backfire.retrieval.search import rank

    w = snakemake.wildcards
    rank(
        queries=snakemake.input.queries,
        embeddings=snakemake.input.embeddings,
        indexes=snakemake.input.indexes,
        tag=f"{w.variant}-seed-{w.seed}",
        output=snakemake.output.run,
        cost=snakemake.output.get("cost"),
        threads=threads,
        label=f"rank {w.variant} seed {w.seed} {w.collection}/{w.split}",
        **snakemake.params.cfg,
    )
