"""Put the measures of all variants and seeds into one table, and their bounds over the orders of ties into another."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.measures import collect_measures

    collect_measures(
        parts=snakemake.input.parts,
        ties=snakemake.input.ties,
        encoded=snakemake.input.encoded,
        output=snakemake.output.measures,
        ties_output=snakemake.output.ties,
    )
