"""Draw the training curves of all trained variants."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.dynamics import plot_dynamics

    plot_dynamics(
        tables=list(snakemake.input.tables),
        layers=list(snakemake.input.layers),
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
