"""Sample one set of triples."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.triples import sample_triples

    candidates = snakemake.input.get("candidates")
    sample_triples(
        candidates=candidates if isinstance(candidates, str) else None,
        qrels=snakemake.input.qrels,
        corpus=list(snakemake.input.corpus),
        query_embeddings=snakemake.input.queries,
        embeddings=list(snakemake.input.embeddings),
        output=snakemake.output[0],
        **snakemake.params.cfg,
    )
