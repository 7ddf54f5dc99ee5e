"""Write queries and judgments of one split of a collection."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.export import export_queries

    export_queries(
        corpus=snakemake.params.cfg["corpus"],
        source=snakemake.params.cfg["split"],
        corpus_shards=list(snakemake.input.shards),
        queries=snakemake.output.queries,
        qrels=snakemake.output.qrels,
        manifest=snakemake.output.manifest,
        drop_empty=snakemake.params.cfg["drop_empty"],
    )
