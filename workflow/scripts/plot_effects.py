"""Draw how far each variant is from base, with intervals."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.effects import plot_effects

    plot_effects(
        comparison=snakemake.input.comparison,
        svg=snakemake.output.svg,
        png=snakemake.output.png,
        **snakemake.params.cfg,
    )
