"""Find the passages of one part of the corpus that base ranks highest for every training query."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)) as threads:
    from backfire.jobs.resources import processor
    from backfire.negatives.hard import mine_hard
    from backfire.provenance.cache import reusing_of

    inputs = {
        "queries": snakemake.input.queries,
        "embeddings": list(snakemake.input.embeddings),
        "indexes": list(snakemake.input.indexes),
    }
    with reusing_of(__file__, snakemake.params)(
        inputs=inputs,
        outputs={"candidates": snakemake.output[0]},
        facts=lambda: {"processor": processor()},
    ) as found:
        if not found:
            mine_hard(**inputs, output=snakemake.output[0], threads=threads, **snakemake.params.cfg)
