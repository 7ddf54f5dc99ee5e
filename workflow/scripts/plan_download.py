"""Plan the study, unless that is done, before a collection is downloaded."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.plan.make import plan_download

    plan_download(passed=snakemake.output[0], **snakemake.params.cfg)
