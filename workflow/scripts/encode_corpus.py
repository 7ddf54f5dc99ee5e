"""Encode shards of a corpus with one model."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from functools import partial

    from backfire.encoders.encoding import decisive, encode_passages
    from backfire.encoders.settled import settled
    from backfire.provenance.cache import reusing_of
    from backfire.study.precision import ENCODE

    cfg = snakemake.params.cfg
    precision = settled(cfg["precision"], snakemake.input.arithmetic, ENCODE)
    encode_passages(
        model=snakemake.input.model,
        tokens=snakemake.input.tokens,
        outputs=snakemake.output.embeddings,
        costs=snakemake.output.cost,
        reused=partial(
            reusing_of(__file__, snakemake.params),
            facts=lambda: decisive(snakemake.input.model, precision),
            when=snakemake.wildcards.variant == "base",
        ),
        **cfg | {"precision": precision},
    )
