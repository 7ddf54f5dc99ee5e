"""Average the weights of several models."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.training.mixing import mix_models

    mix_models(models=list(snakemake.input.models), output=snakemake.output[0], **snakemake.params.cfg)
