"""Measure what wrong labels cost, over variants that differ in how many they have."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.comparison import Rules
    from backfire.explaining.doses import measure_doses

    cfg = snakemake.params.cfg
    measure_doses(
        measures=list(snakemake.input),
        groups=cfg["groups"],
        places=[tuple(place) for place in cfg["places"]],
        primary=tuple(cfg["primary"]),
        rules=Rules(**cfg["rules"]),
        output=snakemake.output[0],
    )
