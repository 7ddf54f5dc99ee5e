"""Put the measures of all variants and seeds into one table."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.measures import collect_measures

    collect_measures(parts=snakemake.input.parts, output=snakemake.output.measures)
