"""Score the runs of one variant and seed, query by query."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.measures import measure_run

    measure_run(
        runs=snakemake.input.runs,
        qrels=snakemake.input.qrels,
        variant=snakemake.wildcards.variant,
        seed=int(snakemake.wildcards.seed),
        output=snakemake.output.measures,
        ties=snakemake.output.ties,
        **snakemake.params.cfg,
    )
