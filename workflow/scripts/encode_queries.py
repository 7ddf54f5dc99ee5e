"""Encode one query set with one model."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.encoding import encode_queries

    encode_queries(
        model=snakemake.input.model,
        queries=snakemake.input.queries,
        output=snakemake.output.embeddings,
        **snakemake.params.cfg,
    )
