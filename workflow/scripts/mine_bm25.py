"""Find the BM25 candidates of every training query in one part of the corpus."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.jobs.resources import processor
    from backfire.provenance.cache import reusing_of
    from backfire.retrieval.lexical import mine_bm25

    inputs = {
        "terms": snakemake.input.terms,
        "corpus": list(snakemake.input.corpus),
        "queries": snakemake.input.queries,
    }
    with reusing_of(__file__, snakemake.params)(
        inputs=inputs,
        outputs={"candidates": snakemake.output[0]},
        facts=lambda: {"processor": processor()},
    ) as found:
        if not found:
            mine_bm25(**inputs, output=snakemake.output[0], **snakemake.params.cfg)
