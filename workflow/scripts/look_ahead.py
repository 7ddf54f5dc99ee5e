"""Look at every variant before its first step."""

from itertools import islice

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.forecast.look import Subject, look_ahead

    cfg = snakemake.params.cfg
    teachers, shards = iter(snakemake.input.teachers), iter(snakemake.input.collections)
    look_ahead(
        base=snakemake.input.base,
        subjects=[
            Subject(
                **each, start=start, triples=triples, teacher=next(teachers) if each["name"] in cfg["taught"] else None
            )
            for each, start, triples in zip(
                cfg["subjects"], snakemake.input.starts, snakemake.input.triples, strict=True
            )
        ],
        queries=next(iter(snakemake.input.queries), None),
        qrels=next(iter(snakemake.input.qrels), None),
        corpus=list(snakemake.input.corpus),
        collections={name: list(islice(shards, count)) for name, count in cfg["collections"]},
        max_length=cfg["max_length"],
        base_vectors=list(snakemake.input.base_vectors),
        models={name: (folder, hub) for (name, hub), folder in zip(cfg["models"], snakemake.input.models, strict=True)},
        label="look ahead",
        output=snakemake.output[0],
    )
