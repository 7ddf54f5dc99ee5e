"""Time single-query encodings of one model."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.explaining.cost import measure_latency

    measure_latency(
        model=snakemake.input.model,
        base=snakemake.input.base,
        queries=snakemake.input.queries,
        output=snakemake.output[0],
        **snakemake.params.cfg,
    )
