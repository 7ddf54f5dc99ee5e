"""Say what the study takes here: downloads, disk, jobs and hours."""

from backfire.jobs.gpus import visible_gpus
from backfire.jobs.logs import job

# Counted before the probe is left with one.
gpus = len(visible_gpus())

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.planning.make import plan_study

    plan_study(gpus=gpus, text=snakemake.log.text, data=snakemake.output[0], **snakemake.params.cfg)
