"""Take the examples of a file."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.listed import take_triples

    cfg = dict(snakemake.params.cfg)
    take_triples(
        queries=snakemake.input.queries,
        splits=dict(zip(cfg.pop("splits"), snakemake.input.splits, strict=True)),
        corpus=list(snakemake.input.corpus),
        query_embeddings=snakemake.input.query_embeddings,
        embeddings=list(snakemake.input.embeddings),
        output=snakemake.output.triples,
        manifest=snakemake.output.manifest,
        **cfg,
    )
