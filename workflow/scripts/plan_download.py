"""Plan the study, unless that is done, before a collection is downloaded."""

from backfire.jobs.gpus import visible_gpus
from backfire.jobs.logs import job

# Counted before the probe is left with one.
gpus = len(visible_gpus())

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.planning.make import plan_download

    plan_download(gpus=gpus, passed=snakemake.output[0], **snakemake.params.cfg)
