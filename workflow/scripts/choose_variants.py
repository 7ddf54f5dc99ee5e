"""Choose among candidates by what they reach on the watched split."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.selection import choose_variants

    choose_variants(
        measures=snakemake.input.measures,
        output=snakemake.output.selection,
        **snakemake.params.cfg,
    )
