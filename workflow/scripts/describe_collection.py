"""Write the manifest of a collection."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.export import describe_collection

    describe_collection(
        corpus_manifest=snakemake.input.corpus,
        split_manifests=list(snakemake.input.splits),
        output=snakemake.output[0],
        pairs_manifest=next(iter(snakemake.input.pairs), None),
        joined_manifests=list(snakemake.input.joined),
    )
