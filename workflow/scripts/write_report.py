"""Write the page that says whether fine-tuning helps or backfires, why, and what to do."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.report.page import write_report

    cfg = snakemake.params.cfg
    write_report(
        comparison=snakemake.input.comparison,
        ties=snakemake.input.ties,
        geometry=snakemake.input.geometry,
        cost=snakemake.input.cost,
        moved=snakemake.input.moved,
        strata=snakemake.input.strata,
        replaced=snakemake.input.replaced,
        maps=snakemake.input.maps,
        dynamics=list(snakemake.input.dynamics),
        layers=list(snakemake.input.layers),
        runs=cfg["runs"],
        models=dict(zip(map(tuple, cfg["models"]), snakemake.input.models, strict=True)),
        manifests=dict(zip(cfg["collections"], snakemake.input.manifests, strict=True)),
        samples=list(snakemake.input.samples),
        figures={
            name: files for name, *files in zip(cfg["figures"], snakemake.input.svg, snakemake.input.png, strict=True)
        },
        config=cfg["config"],
        variants=cfg["variants"],
        versions=cfg["versions"],
        command=cfg["command"],
        expected=snakemake.input.expected,
        selection=next(iter(snakemake.input.selection), None),
        arithmetic=next(iter(snakemake.input.arithmetic), None),
        protocol=next(iter(snakemake.input.protocol), None),
        ladder=next(iter(snakemake.input.ladder), None),
        forensics=tuple(snakemake.input.forensics) or None,
        doses=next(iter(snakemake.input.doses), None),
        forecast=snakemake.input.forecast,
        recommendation=snakemake.input.recommendation,
        best=list(snakemake.input.best),
        missing_labels=next(iter(snakemake.input.missing_labels), None),
        template=snakemake.input.template,
        captions=dict(zip(cfg["figures"], snakemake.input.captions, strict=True)),
        css=snakemake.input.css,
        output=snakemake.output[0],
        short=snakemake.output.answer,
    )
