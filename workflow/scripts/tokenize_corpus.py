"""Turn the passages of shards into token ids."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.tokenizing import tokenize_passages

    tokenize_passages(
        model=snakemake.input.model,
        corpus=snakemake.input.corpus,
        outputs=snakemake.output.tokens,
        **snakemake.params.cfg,
    )
