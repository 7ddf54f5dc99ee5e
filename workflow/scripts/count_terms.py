"""Count the words of the training corpus."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.bm25 import count_terms
    from backfire.reuse import reusing

    with reusing(
        rule="count_terms",
        cfg=None,
        code=snakemake.params.code,
        script=__file__,
        inputs={"corpus": list(snakemake.input)},
        outputs={"terms": snakemake.output[0]},
    ) as found:
        if not found:
            count_terms(corpus=list(snakemake.input), output=snakemake.output[0])
