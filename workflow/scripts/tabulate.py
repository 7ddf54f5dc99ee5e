"""Write the main table for a paper, and the paragraph that goes with it."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.report.paper import write_tables

    write_tables(
        comparison=snakemake.input.comparison,
        csv=snakemake.output.csv,
        tex=snakemake.output.tex,
        text=snakemake.output.text,
        **snakemake.params.cfg,
    )
