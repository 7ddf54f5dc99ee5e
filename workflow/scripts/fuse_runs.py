"""Fuse the runs of several variants."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.selection import chosen_of
    from backfire.retrieval.fusion import fuse_runs

    cfg = snakemake.params.cfg
    chosen = [chosen_of(best, cfg["best_of"], snakemake.input.candidates) for best in snakemake.input.best]
    fuse_runs(
        runs=[*snakemake.input.runs, *sum(chosen, [])],
        queries=snakemake.input.queries,
        output=snakemake.output.run,
        **{name: cfg[name] for name in ("depth", "k", "tag")},
    )
