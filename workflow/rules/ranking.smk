"""Ranking: the passages of a corpus in order of their similarity to each query, by BM25, or as other runs have them."""

from backfire.study.variants import Fused, Given, Lexical, Reranked


localrules:
    prepare_cross_encoder,


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
        cost="results/{study}/cost/{variant}/seed-{seed}/searching-{collection}-{split}.json",
    log:
        "results/{study}/logs/rank/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/rank/{variant}/seed-{seed}/{collection}-{split}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.embedded),
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


# For BM25 as a system: of any collection, not only of the one that negatives are drawn from.
use rule count_terms as count_words with:
    input:
        shards_of("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
    output:
        "results/{study}/terms/{collection}.parquet",
    log:
        "results/{study}/logs/count_words/{collection}.log",
    benchmark:
        "results/{study}/benchmarks/count_words/{collection}.tsv"
    resources:
        mem_mb=asked("count_words", "mem_mb"),
        runtime=asked("count_words", "runtime"),


rule rank_bm25:
    """For each query the `ranking.depth` passages of highest BM25 score as Lucene computes it; equal scores are ordered by passage id, and passages that share no word with the query are not ranked."""
    input:
        terms="results/{study}/terms/{collection}.parquet",
        corpus=shards_of("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
        queries="data/{collection}/queries/{split}.parquet",
    output:
        run="results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
        cost="results/{study}/cost/{variant}/seed-{seed}/searching-{collection}-{split}.json",
    log:
        "results/{study}/logs/rank_bm25/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/rank_bm25/{variant}/seed-{seed}/{collection}-{split}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.named(Lexical)) or "(?!)",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=asked("rank_bm25", "mem_mb"),
        runtime=asked("rank_bm25", "runtime"),
    params:
        cfg=lambda w: {
            "b": STUDY.variants[w.variant].settings["b"],
            "depth": STUDY.config["ranking"]["depth"],
            "k1": STUDY.variants[w.variant].settings["k1"],
            "label": f"rank {w.variant} {w.collection}/{w.split}",
            "tag": f"{w.variant}-seed-{w.seed}",
        },
        code=code("rank_bm25"),
    script:
        "../scripts/rank_bm25.py"


rule fuse_runs:
    """Runs are fused by reciprocal ranks: a passage's score is the sum over them of 1 / (k + rank)."""
    input:
        runs=lambda w: [
            f"results/{w.study}/runs/{name}/seed-{seed}/{w.collection}/{w.split}.trec"
            for name, seed in STUDY.runs_of(w.variant, w.seed)
        ],
        candidates=lambda w: [
            f"results/{w.study}/runs/{name}/seed-{seed}/{w.collection}/{w.split}.trec"
            for name, seed in STUDY.candidates_of(w.variant, w.seed)
        ],
        best=lambda w: (
            [f"results/{w.study}/best/{STUDY.choosing[w.variant]}.json"] if w.variant in STUDY.choosing else []
        ),
        queries="data/{collection}/queries/{split}.parquet",
    output:
        run="results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
    log:
        "results/{study}/logs/fuse_runs/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/fuse_runs/{variant}/seed-{seed}/{collection}-{split}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.named(Fused)) or "(?!)",
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("fuse_runs", "mem_mb"),
        runtime=asked("fuse_runs", "runtime"),
    params:
        cfg=lambda w: {
            "depth": STUDY.config["ranking"]["depth"],
            "k": STUDY.variants[w.variant].settings["k"],
            "tag": f"{w.variant}-seed-{w.seed}",
        }
        | ({"best_of": STUDY.variants[w.variant].best_of} if w.variant in STUDY.choosing else {}),
        code=code("fuse_runs"),
    script:
        "../scripts/fuse_runs.py"


rule prepare_cross_encoder:
    """A cross-encoder is taken from this machine or the hub, its weights are checked against the digest that is named, and it is tried out on two pairs."""
    output:
        directory("results/{study}/rerankers/{variant}"),
    log:
        "results/{study}/logs/prepare_cross_encoder/{variant}.log",
    benchmark:
        "results/{study}/benchmarks/prepare_cross_encoder/{variant}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.named(Reranked)) or "(?!)",
    conda:
        "../../envs/encode.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        cfg=lambda w: STUDY.variants[w.variant].source,
        files=lambda w: base_files(STUDY.variants[w.variant].model, f".snakemake/backfire-{w.variant}.json"),
        code=code("prepare_cross_encoder"),
    script:
        "../scripts/prepare_cross_encoder.py"


rule rerank_run:
    """The first `depth` passages of a run, query by query, in the order of a cross-encoder's scores; equal scores are ordered by passage id, and what lies deeper keeps its order."""
    input:
        run=lambda w: [
            f"results/{w.study}/runs/{name}/seed-{seed}/{w.collection}/{w.split}.trec"
            for name, seed in STUDY.runs_of(w.variant, w.seed)
        ],
        model="results/{study}/rerankers/{variant}",
        queries="data/{collection}/queries/{split}.parquet",
        corpus=shards_of("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
    output:
        run="results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
        cost="results/{study}/cost/{variant}/seed-{seed}/reranking-{collection}-{split}.json",
    log:
        "results/{study}/logs/rerank_run/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/rerank_run/{variant}/seed-{seed}/{collection}-{split}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.named(Reranked)) or "(?!)",
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("rerank_run", "mem_mb"),
        runtime=asked("rerank_run", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: {
            "depth": STUDY.variants[w.variant].settings["depth"],
            "max_length": STUDY.variants[w.variant].settings["max_length"],
            "label": f"rerank {w.variant} seed {w.seed} {w.collection}/{w.split}",
            "tag": f"{w.variant}-seed-{w.seed}",
        },
        code=code("rerank_run"),
    script:
        "../scripts/rerank_run.py"


rule take_run:
    """A run of another tool is read as it is, held to the queries and passages of the collection, and cut to `ranking.depth`."""
    input:
        run=lambda w: STUDY.variants[w.variant].files[w.collection, w.split],
        queries="data/{collection}/queries/{split}.parquet",
        corpus=shards_of("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
    output:
        run="results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
    log:
        "results/{study}/logs/take_run/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/take_run/{variant}/seed-{seed}/{collection}-{split}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.named(Given)) or "(?!)",
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("take_run", "mem_mb"),
        runtime=asked("take_run", "runtime"),
    params:
        cfg=lambda w: {"depth": STUDY.config["ranking"]["depth"], "tag": f"{w.variant}-seed-{w.seed}"},
        code=code("take_run"),
    script:
        "../scripts/take_run.py"
