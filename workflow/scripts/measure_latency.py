"""Time single-query encodings of one model."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.encoders.settled import settled
    from backfire.explaining.cost import measure_latency
    from backfire.study.precision import ENCODE

    cfg = snakemake.params.cfg
    precision = settled(cfg["precision"], snakemake.input.arithmetic, ENCODE)
    measure_latency(
        model=snakemake.input.model,
        base=snakemake.input.base,
        queries=snakemake.input.queries,
        output=snakemake.output[0],
        **cfg | {"precision": precision},
    )
