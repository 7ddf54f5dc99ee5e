"""Average the weights of several models."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.evaluation.selection import chosen_of
    from backfire.training.mixing import Watched, mix_models

    cfg = snakemake.params.cfg
    chosen = sum((chosen_of(best, cfg["best_of"], snakemake.input.candidates) for best in snakemake.input.best), [])
    mix_models(
        models=[*snakemake.input.models, *chosen],
        shares=[*cfg["shares"], *([share / len(chosen) for share in cfg["best"]] for _ in chosen)],
        output=snakemake.output[0],
        name=cfg["name"],
        watched=Watched(*snakemake.input.watched, snakemake.input.corpus, **cfg["watching"])
        if snakemake.input.watched
        else None,
    )
