"""Turn the passages of one shard into token ids."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.tokenizing import tokenize_passages

    tokenize_passages(
        model=snakemake.input.model, corpus=snakemake.input.corpus, output=snakemake.output[0], **snakemake.params.cfg
    )
