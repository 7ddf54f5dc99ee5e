"""Time how long all models take to encode queries, side by side."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.encoders.settled import settled
    from backfire.explaining.latency import Model, measure_latency
    from backfire.study.precision import ENCODE

    cfg = dict(snakemake.params.cfg)
    models = [
        Model(variant, seed, folder, base)
        for (variant, seed, base), folder in zip(cfg.pop("models"), snakemake.input.models, strict=True)
    ]
    measure_latency(
        models=models,
        queries=snakemake.input.queries,
        times=snakemake.output.times,
        quantities=snakemake.output.quantities,
        label="latency",
        **cfg | {"precision": settled(cfg["precision"], snakemake.input.arithmetic, ENCODE)},
    )
