"""Turn the passages of shards into token ids."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from functools import partial

    from backfire.encoders.folders import contents
    from backfire.encoders.tokenizing import tokenize_passages
    from backfire.provenance.cache import reusing_of

    cfg = snakemake.params.cfg
    tokenize_passages(
        model=snakemake.input.model,
        corpus=snakemake.input.corpus,
        outputs=snakemake.output.tokens,
        reused=partial(
            reusing_of(__file__, snakemake.params),
            facts=lambda: {"model": contents(snakemake.input.model, weights=False)},
        ),
        **cfg,
    )
