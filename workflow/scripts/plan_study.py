"""Say what the study takes here: downloads, disk, jobs and hours."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.plan.make import plan_study

    plan_study(text=snakemake.log.text, data=snakemake.output[0], **snakemake.params.cfg)
