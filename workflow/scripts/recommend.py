"""Put all systems of a study side by side and choose the one to use."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.recommending.make import recommend

    cfg = dict(snakemake.params.cfg)
    recommend(
        comparison=snakemake.input.comparison,
        cost=snakemake.input.cost,
        manifest=snakemake.input.manifest,
        indexes=list(snakemake.input.indexes),
        best=dict(zip(cfg.pop("takers"), snakemake.input.best, strict=True)),
        parquet=snakemake.output.parquet,
        csv=snakemake.output.csv,
        **cfg,
    )
