"""Merge the candidates of the parts of the corpus."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.retrieval.merging import merge_candidates

    merge_candidates(
        parts=list(snakemake.input.parts),
        queries=snakemake.input.queries,
        output=snakemake.output[0],
        **snakemake.params.cfg,
    )
