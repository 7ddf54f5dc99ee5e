"""Choose the best one of several trained variants by what was watched."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.selection import choose_best

    choose_best(tables=list(snakemake.input.tables), output=snakemake.output[0], **snakemake.params.cfg)
