"""Hold the results of a study to what a reader relies on."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.checks.results import OPTIONAL, TABLES, check_results

    cfg = snakemake.params.cfg
    check_results(
        tables={name: snakemake.input[name] for name in TABLES}
        # A list: none where the study has no such table.
        | {name: path for name in OPTIONAL for path in snakemake.input.get(name)},
        csv=snakemake.input.csv,
        main=snakemake.input.main,
        dynamics=dict(zip(map(tuple, cfg["trained"]), snakemake.input.dynamics, strict=True)),
        layers=dict(zip(map(tuple, cfg["trained"]), snakemake.input.layers, strict=True)),
        models=dict(zip(map(tuple, cfg["models"]), snakemake.input.models, strict=True)),
        manifests=dict(zip(cfg["collections"], snakemake.input.manifests, strict=True)),
        page=snakemake.input.page,
        config=cfg["config"],
        output=snakemake.output[0],
    )
