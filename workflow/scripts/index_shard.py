"""Index one shard of passage embeddings with FAISS."""

from backfire.logs import job

with job(snakemake.log[0], snakemake.threads):
    from backfire.index import index_shard

    index_shard(
        embeddings=snakemake.input.embeddings,
        factory=snakemake.params.cfg["index"],
        output=snakemake.output.index,
    )
