"""Find the passages of one part of the corpus that base ranks highest for every training query."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads) as threads:
    from backfire.negatives.hard import mine_hard

    mine_hard(
        queries=snakemake.input.queries,
        embeddings=list(snakemake.input.embeddings),
        indexes=list(snakemake.input.indexes),
        output=snakemake.output[0],
        threads=threads,
        **snakemake.params.cfg,
    )
