"""Encode one query set with one model."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.encoders.encoding import decisive, encode_queries
    from backfire.encoders.settled import settled
    from backfire.provenance.cache import reusing_of
    from backfire.study.precision import ENCODE

    cfg = snakemake.params.cfg
    precision = settled(cfg["precision"], snakemake.input.arithmetic, ENCODE)
    with reusing_of(__file__, snakemake.params)(
        inputs={"queries": snakemake.input.queries},
        outputs={"embeddings": snakemake.output.embeddings},
        facts=lambda: decisive(snakemake.input.model, precision),
        when=snakemake.wildcards.variant == "base",
    ) as found:
        if not found:
            encode_queries(
                model=snakemake.input.model,
                queries=snakemake.input.queries,
                output=snakemake.output.embeddings,
                **cfg | {"precision": precision},
            )
