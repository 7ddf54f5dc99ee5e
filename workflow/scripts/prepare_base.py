"""Bring the verified base model into the study."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.encoders.base import prepare_base

    prepare_base(output=snakemake.output[0], **snakemake.params.cfg)
