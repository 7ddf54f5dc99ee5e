"""Ranking: the passages of a corpus in order of their similarity to each query."""


rule index_shard:
    """Each shard of passage vectors gets a FAISS index of inner products after `encoding.index`; Flat compares with every passage."""
    input:
        embeddings=["results/{study}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"],
    output:
        index=["results/{study}/index/{variant}/seed-{seed}/{collection}/{shard}-of-{shards}.faiss"],
    log:
        "results/{study}/logs/index_shard/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/index_shard/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("index_shard", "mem_mb"),
        runtime=asked("index_shard", "runtime"),
    params:
        cfg=lambda w: {"index": STUDY.config["encoding"]["index"]},
        code=code("index_shard"),
    script:
        "../scripts/index_shard.py"


in_batches("index_shard")


rule rank:
    """For each query the `ranking.depth` passages of highest similarity (cosine, or dot product where the model was made for it), scored in double precision; equal scores are ordered by passage id, so neither the number of shards nor their order matters."""
    input:
        queries="results/{study}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet",
        embeddings=shards_of(
            "results/{study}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"
        ),
        indexes=shards_of("results/{study}/index/{variant}/seed-{seed}/{collection}/{shard}-of-{shards}.faiss"),
    output:
        run="results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
    log:
        "results/{study}/logs/rank/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/rank/{variant}/seed-{seed}/{collection}-{split}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("rank", "mem_mb"),
        runtime=asked("rank", "runtime"),
    params:
        cfg=lambda w: {"depth": STUDY.config["ranking"]["depth"]},
        code=code("rank"),
    script:
        "../scripts/rank.py"
