"""Make a collection of a file of pairs."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.datasets.pairs import read_pairs
    from backfire.datasets.sources import PARTS

    read_pairs(
        **snakemake.params.cfg,
        corpus=snakemake.output.corpus,
        queries=dict(zip(PARTS, snakemake.output.queries, strict=True)),
        qrels=dict(zip(PARTS, snakemake.output.qrels, strict=True)),
        manifest=snakemake.output.manifest,
        hub=next(iter(snakemake.input.hub[1:]), None),
    )
