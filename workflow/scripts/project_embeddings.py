"""Place the passages and queries of all variants on one UMAP."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.explaining.projection import project_embeddings

    models = [tuple(model) for model in snakemake.params.cfg["models"]]
    shards = list(snakemake.input.shards)  # shard by shard, and within each the models in order
    project_embeddings(
        shards=[shards[model :: len(models)] for model in range(len(models))],
        queries=list(snakemake.input.queries),
        output=snakemake.output.places,
        quality=snakemake.output.quality,
        **{**snakemake.params.cfg, "models": models},
    )
