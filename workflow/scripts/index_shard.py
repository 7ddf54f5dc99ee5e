"""Index shards of passage embeddings with FAISS, each on its own."""

from backfire.jobs.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.retrieval.index import index_shard

    for embeddings, output in zip(snakemake.input.embeddings, snakemake.output.index, strict=True):
        index_shard(embeddings, snakemake.params.cfg["index"], output)
