"""Encode shards of a corpus with one model."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.encoding import encode_passages

    encode_passages(
        model=snakemake.input.model,
        tokens=snakemake.input.tokens,
        outputs=snakemake.output.embeddings,
        costs=snakemake.output.cost,
        **snakemake.params.cfg,
    )
