"""Sample one set of triples."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.triples import sample_triples

    sample_triples(
        candidates=next(iter(snakemake.input.candidates), None),
        queries=snakemake.input.queries,
        qrels=snakemake.input.qrels,
        corpus=list(snakemake.input.corpus),
        query_embeddings=snakemake.input.query_embeddings,
        embeddings=list(snakemake.input.embeddings),
        output=snakemake.output.triples,
        manifest=snakemake.output.manifest,
        **snakemake.params.cfg,
    )
