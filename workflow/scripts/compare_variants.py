"""Compare every variant with base."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.comparison import compare_variants

    cfg = snakemake.params.cfg
    compare_variants(
        measures=snakemake.input.measures,
        variants=cfg["variants"],
        evaluations=cfg["evaluations"],
        names=cfg["measures"],
        primary=cfg["primary"],
        alpha=cfg["alpha"],
        resamples=cfg["resamples"],
        seed=cfg["seed"],
        parquet=snakemake.output.parquet,
        csv=snakemake.output.csv,
    )
