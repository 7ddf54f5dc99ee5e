"""Write the passages of a collection in shards."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.export import export_corpus
    from backfire.datasets.load import contents
    from backfire.provenance.cache import reusing_of

    cfg = snakemake.params.cfg
    with reusing_of(__file__, snakemake.params)(
        inputs={},
        outputs={"shards": list(snakemake.output.shards), "manifest": snakemake.output.manifest},
        facts=lambda: {"source": contents(cfg["corpus"], snakemake.input, text=cfg["text"])},
    ) as found:
        if not found:
            export_corpus(
                source=cfg["corpus"],
                size=cfg["size"],
                shards=list(snakemake.output.shards),
                manifest=snakemake.output.manifest,
                drop_empty=cfg["drop_empty"],
                text=cfg["text"],
            )
