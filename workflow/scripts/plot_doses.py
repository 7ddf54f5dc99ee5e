"""Draw what wrong labels cost."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.charts.doses import plot_doses

    plot_doses(doses=snakemake.input[0], svg=snakemake.output.svg, png=snakemake.output.png, **snakemake.params.cfg)
