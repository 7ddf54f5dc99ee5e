"""Draw what each part of a recipe is worth, from one recipe to another."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.ladder import plot_ladder

    plot_ladder(
        ladder=snakemake.input.ladder,
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
