"""Sample one set of published triples."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.published import sample_published

    sample_published(
        queries=snakemake.input.queries,
        corpus_shards=list(snakemake.input.corpus),
        query_embeddings=snakemake.input.query_embeddings,
        embeddings=list(snakemake.input.embeddings),
        output=snakemake.output.triples,
        manifest=snakemake.output.manifest,
        **snakemake.params.cfg,
    )
