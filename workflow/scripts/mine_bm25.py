"""Find the BM25 candidates of every training query in one part of the corpus."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.bm25 import mine_bm25

    mine_bm25(
        terms=snakemake.input.terms,
        corpus=list(snakemake.input.corpus),
        queries=snakemake.input.queries,
        output=snakemake.output[0],
        **snakemake.params.cfg,
    )
