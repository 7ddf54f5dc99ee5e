"""Count the words of the training corpus."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.provenance.cache import reusing_of
    from backfire.retrieval.lexical import count_terms

    with reusing_of(__file__, snakemake.params)(
        inputs={"corpus": list(snakemake.input)},
        outputs={"terms": snakemake.output[0]},
    ) as found:
        if not found:
            count_terms(corpus=list(snakemake.input), output=snakemake.output[0])
