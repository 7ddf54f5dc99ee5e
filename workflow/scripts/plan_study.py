"""Say what the study takes here: downloads, disk, jobs and hours."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.plan.make import plan_study

    plan_study(
        model=snakemake.input.model,
        text=snakemake.log.text,
        data=snakemake.log.data,
        passed=snakemake.output[0],
        **snakemake.params.cfg,
    )
