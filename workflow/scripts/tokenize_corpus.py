"""Turn the passages of one shard into token ids."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.model import contents
    from backfire.reuse import reusing
    from backfire.tokenizing import tokenize_passages

    with reusing(
        rule="tokenize_corpus",
        cfg=snakemake.params.cfg,
        code=snakemake.params.code,
        packages=["numpy", "pyarrow", "tokenizers", "transformers"],
        inputs={"corpus": snakemake.input.corpus},
        outputs={"tokens": snakemake.output[0]},
        facts=lambda: {"model": contents(snakemake.input.model, weights=False)},
    ) as found:
        if not found:
            tokenize_passages(
                model=snakemake.input.model,
                corpus=snakemake.input.corpus,
                output=snakemake.output[0],
                **snakemake.params.cfg,
            )
