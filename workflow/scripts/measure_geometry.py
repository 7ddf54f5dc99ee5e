"""Measure the embedding space of one model on one collection."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.explaining.geometry import measure_geometry

    measure_geometry(
        shards=list(snakemake.input.shards),
        base=list(snakemake.input.base),
        queries=str(snakemake.input.queries),
        qrels=str(snakemake.input.qrels),
        output=snakemake.output[0],
        **snakemake.params.cfg,
    )
