"""Say what can be seen of the study before anything is trained."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.forecast.make import forecast_study

    cfg = snakemake.params.cfg
    forecast_study(
        looks=snakemake.input.looks,
        forensics=next(iter(snakemake.input.forensics), None),
        triples=dict(zip(cfg["sets"], snakemake.input.triples, strict=True)),
        queries=next(iter(snakemake.input.queries), None),
        evaluated=dict(zip(map(tuple, cfg["evaluated"]), snakemake.input.evaluated, strict=True)),
        corpus=list(snakemake.input.corpus),
        measures=snakemake.input.measures,
        config=cfg["config"],
        variants=cfg["variants"],
        output=snakemake.output.data,
        text=snakemake.output.text,
    )
