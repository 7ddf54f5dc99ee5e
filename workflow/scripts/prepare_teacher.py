"""Bring a verified teacher into the study."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.teacher import prepare_teacher

    prepare_teacher(output=snakemake.output[0], **snakemake.params.cfg)
