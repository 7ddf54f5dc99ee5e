"""Fine-tune one variant with one seed."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads, snakemake.resources.get("gpu", 0)):
    from backfire.encoders.settled import settled
    from backfire.study.precision import TRAIN
    from backfire.training.run import train_variant

    cfg = snakemake.params.cfg
    precision = settled(cfg["settings"]["precision"], snakemake.input.arithmetic, TRAIN)
    train_variant(
        start=snakemake.input.model,
        triples=snakemake.input.triples,
        queries=snakemake.input.queries,
        corpus=list(snakemake.input.corpus),
        development_queries=snakemake.input.development_queries,
        development_qrels=snakemake.input.development_qrels,
        output=snakemake.output.model,
        dynamics_table=snakemake.output.dynamics,
        development_table=snakemake.output.development,
        layers_table=snakemake.output.layers,
        cost=snakemake.output.cost,
        checkpoints=snakemake.params.checkpoints,
        code=f"{snakemake.params.code} {snakemake.params.objective} {snakemake.params.adapters}".rstrip(),
        qrels=next(iter(snakemake.input.qrels), None),
        base=list(snakemake.input.base),
        guide=list(snakemake.input.guide),
        teacher=next(iter(snakemake.input.teacher), None),
        **cfg | {"settings": cfg["settings"] | {"precision": precision}},
    )
