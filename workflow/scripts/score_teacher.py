"""Let a teacher score the examples of a triple set."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.negatives.teacher import score_teacher

    score_teacher(
        triples=snakemake.input.triples,
        queries=snakemake.input.queries,
        corpus=list(snakemake.input.corpus),
        model=snakemake.input.model,
        output=snakemake.output[0],
        **snakemake.params.cfg,
    )
