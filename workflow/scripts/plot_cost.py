"""Draw what each variant takes to train and to serve."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.cost import plot_cost

    plot_cost(
        table=snakemake.input.table,
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
