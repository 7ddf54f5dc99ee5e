"""Fetch what a collection takes from ir_datasets."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.downloads import download_collection

    download_collection(
        corpus=snakemake.params.cfg["corpus"],
        needs=snakemake.params.cfg["needs"],
        texts=snakemake.params.cfg["texts"],
        output=snakemake.output[0],
    )
