"""Write the passages of a collection in shards."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.export import export_corpus

    export_corpus(
        source=snakemake.params.cfg["corpus"],
        size=snakemake.params.cfg["size"],
        shards=list(snakemake.output.shards),
        manifest=snakemake.output.manifest,
        drop_empty=snakemake.params.cfg["drop_empty"],
        text=snakemake.params.cfg["text"],
    )
