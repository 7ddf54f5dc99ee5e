"""Write queries and judgments of one split of a collection."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.export import export_queries
    from backfire.datasets.load import contents
    from backfire.provenance.cache import reusing_of

    cfg = snakemake.params.cfg
    with reusing_of(__file__, snakemake.params)(
        inputs={"shards": list(snakemake.input.shards)},
        outputs=dict(snakemake.output.items()),
        facts=lambda: {"source": contents(cfg["corpus"], snakemake.input, cfg["split"])},
    ) as found:
        if not found:
            export_queries(
                corpus=cfg["corpus"],
                source=cfg["split"],
                corpus_shards=list(snakemake.input.shards),
                queries=snakemake.output.queries,
                qrels=snakemake.output.qrels,
                manifest=snakemake.output.manifest,
                drop_empty=cfg["drop_empty"],
                missing=cfg["missing"],
                part=cfg["part"],
            )
