"""Take a run that another tool made."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.retrieval.foreign import take_run

    take_run(
        run=snakemake.input.run,
        queries=snakemake.input.queries,
        corpus=list(snakemake.input.corpus),
        output=snakemake.output.run,
        **snakemake.params.cfg,
    )
