"""Draw the map of the embedding space, a panel per variant."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.projection import plot_projection

    plot_projection(
        table=snakemake.input.table,
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
