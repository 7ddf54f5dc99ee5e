"""Say what the study takes here: downloads, disk, jobs and hours."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.plan.make import plan_study

    plan_study(
        model=snakemake.input.model,
        text=snakemake.output.text,
        data=snakemake.output.data,
        passed=snakemake.output.passed,
        **snakemake.params.cfg,
    )
