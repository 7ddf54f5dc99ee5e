"""Draw each query's value under a variant against its value under base."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.queries import plot_queries

    plot_queries(
        measures=snakemake.input.measures,
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
