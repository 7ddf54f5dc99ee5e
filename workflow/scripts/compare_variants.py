"""Compare every variant with base."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.comparison import Design, Rules, compare_variants

    cfg = snakemake.params.cfg
    compare_variants(
        measures=snakemake.input.measures,
        selection=next(iter(snakemake.input.selection), None),
        design=Design(**cfg["design"]),
        rules=Rules(**cfg["rules"]),
        parquet=snakemake.output.parquet,
        csv=snakemake.output.csv,
    )
