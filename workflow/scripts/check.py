"""Print what can be seen of the study before anything is trained."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.forecast.page import show

    show(snakemake.input.text)
