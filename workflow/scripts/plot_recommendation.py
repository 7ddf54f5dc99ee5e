"""Draw what each system gains against what it costs."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.recommendation import plot_recommendation

    plot_recommendation(
        table=snakemake.input[0],
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
