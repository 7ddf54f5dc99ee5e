"""Count the words of the training corpus."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.negatives.bm25 import count_terms

    count_terms(corpus=list(snakemake.input), output=snakemake.output[0])
