"""Bring a verified cross-encoder into the study."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.encoders.cross_encoder import prepare_cross_encoder

    prepare_cross_encoder(output=snakemake.output[0], **snakemake.params.cfg)
