"""Put what every model cost in one table."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.explaining.cost import collect_cost

    runs = [tuple(run) for run in snakemake.params.cfg["runs"]]
    parts = {
        (variant, seed): [path for path in snakemake.input if f"/cost/{variant}/seed-{seed}/" in path]
        for variant, seed in runs
    }
    collect_cost(
        runs=runs,
        parts=parts,
        quantities=snakemake.input.quantities,
        times=snakemake.input.times,
        output=snakemake.output[0],
    )
