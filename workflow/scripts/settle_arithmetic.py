"""Measure in which arithmetic models encode and train fastest here."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.training.settling import settle_arithmetic

    settle_arithmetic(model=snakemake.input.model, output=snakemake.output[0], **snakemake.params.cfg)
