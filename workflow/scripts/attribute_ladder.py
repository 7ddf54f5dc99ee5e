"""Share out the difference between two recipes among the factors in which they differ."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.comparison import Rules
    from backfire.explaining.attribution import Rungs, attribute_ladder

    cfg = snakemake.params.cfg
    attribute_ladder(
        measures=list(snakemake.input.measures),
        models=dict(zip(map(tuple, cfg["models"]), snakemake.input.models, strict=True)),
        ladder=Rungs(**cfg["ladder"]),
        places=[tuple(place) for place in cfg["places"]],
        primary=tuple(cfg["primary"]),
        rules=Rules(**cfg["rules"]),
        parquet=snakemake.output.parquet,
        csv=snakemake.output.csv,
    )
