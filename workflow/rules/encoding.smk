"""Encoding: every passage becomes token ids, once; every passage and query becomes a unit vector, and each shard of vectors an index."""

ENCODING = {key: STUDY.config["encoding"][key] for key in ("precision", "batch_tokens")}
LENGTH = STUDY.config["encoding"]["max_length"]


rule tokenize_corpus:
    """Passages are turned into token ids, cut at `encoding.max_length`, once for all variants and seeds that descend from one model and so share its tokenizer."""
    input:
        model="results/{study}/models/{variant}/seed-0",
        corpus=lambda w: [f"{STUDY.collections[w.collection].passages(w.text)}/{{shard}}-of-{{shards}}.parquet"],
    output:
        tokens=["results/{study}/tokens/{variant}/{text}-{max_length}/{collection}/{shard}-of-{shards}.parquet"],
    log:
        "results/{study}/logs/tokenize_corpus/{variant}/{text}-{max_length}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/tokenize_corpus/{variant}/{text}-{max_length}/{collection}-{shard}-of-{shards}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.taken_models),
    conda:
        "../../envs/encode.yaml"
    threads: 1
    resources:
        mem_mb=asked("tokenize_corpus", "mem_mb"),
        runtime=asked("tokenize_corpus", "runtime"),
    params:
        cfg=lambda w: {"max_length": int(w.max_length)},
        code=code("tokenize_corpus"),
    script:
        "../scripts/tokenize_corpus.py"


in_batches("tokenize_corpus")


rule encode_corpus:
    """Tokenised passages are encoded and scaled to unit length, shard by shard."""
    input:
        arithmetic=ARITHMETIC,
        model="results/{study}/models/{variant}/seed-{seed}",
        tokens=lambda w: [
            f"results/{{study}}/tokens/{STUDY.origin(w.variant)}/{STUDY.collections[w.collection].text}-{LENGTH}/{{collection}}/{{shard}}-of-{{shards}}.parquet"
        ],
    output:
        embeddings=["results/{study}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"],
        cost=["results/{study}/cost/{variant}/seed-{seed}/encoding-{collection}-{shard}-of-{shards}.json"],
    log:
        "results/{study}/logs/encode_corpus/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/encode_corpus/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("encode_corpus", "mem_mb"),
        runtime=asked("encode_corpus", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: ENCODING | {"label": f"encode {w.variant} seed {w.seed} {w.collection}"},
        code=code("encode_corpus"),
    script:
        "../scripts/encode_corpus.py"


in_batches("encode_corpus")


rule encode_queries:
    """Queries go through the same model and length limit, without a template unless the model names one."""
    input:
        arithmetic=ARITHMETIC,
        model="results/{study}/models/{variant}/seed-{seed}",
        queries="data/{collection}/queries/{split}.parquet",
    output:
        embeddings="results/{study}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet",
    log:
        "results/{study}/logs/encode_queries/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/encode_queries/{variant}/seed-{seed}/{collection}-{split}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("encode_queries", "mem_mb"),
        runtime=asked("encode_queries", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: ENCODING
        | {
            "label": f"encode {w.variant} seed {w.seed} queries {w.collection}/{w.split}",
            "max_length": LENGTH,
        },
        code=code("encode_queries"),
    script:
        "../scripts/encode_queries.py"
