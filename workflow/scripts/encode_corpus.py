"""Encode one shard of a corpus with one model."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.encoding import PACKAGES, decisive, encode_passages
    from backfire.reuse import reusing

    cfg = snakemake.params.cfg
    with reusing(
        rule="encode_corpus",
        cfg=cfg,
        code=snakemake.params.code,
        packages=PACKAGES,
        inputs={"tokens": snakemake.input.tokens},
        outputs={"embeddings": snakemake.output.embeddings, "cost": snakemake.output.cost},
        facts=lambda: decisive(snakemake.input.model, cfg["precision"]),
        when=snakemake.wildcards.variant == "base",
    ) as found:
        if not found:
            encode_passages(
                model=snakemake.input.model,
                tokens=snakemake.input.tokens,
                output=snakemake.output.embeddings,
                cost=snakemake.output.cost,
                **cfg,
            )
