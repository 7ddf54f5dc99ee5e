"""Look at the negatives of every set that a variant trains on."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.explaining.forensics import TripleSet, examine_triples

    cfg = snakemake.params.cfg
    teachers = dict(zip(cfg["taught"], snakemake.input.teachers, strict=True))
    examine_triples(
        sets=[
            TripleSet(name, path, teachers.get(name))
            for name, path in zip(cfg["sets"], snakemake.input.triples, strict=True)
        ],
        corpus=list(snakemake.input.corpus),
        query_embeddings=snakemake.input.query_embeddings,
        embeddings=list(snakemake.input.embeddings),
        alpha=cfg["alpha"],
        facts=snakemake.output.facts,
        filters=snakemake.output.filters,
    )
