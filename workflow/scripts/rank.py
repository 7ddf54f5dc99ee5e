"""Rank the corpus for the queries of a split."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.search import rank

    rank(
        queries=snakemake.input.queries,
        embeddings=snakemake.input.embeddings,
        indexes=snakemake.input.indexes,
        depth=snakemake.params.cfg["depth"],
        tag=f"{snakemake.wildcards.variant}-seed-{snakemake.wildcards.seed}",
        output=snakemake.output.run,
    )
