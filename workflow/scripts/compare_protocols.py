"""Compare base under other protocols of evaluation with base under the study's own."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.protocol import compare_protocols

    compare_protocols(
        run=snakemake.input.run[0],
        qrels=snakemake.input.qrels[0],
        others=list(snakemake.input.choices),
        parquet=snakemake.output.parquet,
        csv=snakemake.output.csv,
        **snakemake.params.cfg,
    )
