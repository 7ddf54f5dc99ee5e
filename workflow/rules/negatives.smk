"""Negatives: for each training query passages that do not answer it, and triples sampled from them."""


rule mine_bm25:
    """BM25 candidates of every training query, down to the depth asked for."""
    input:
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
    output:
        "results/{study}/negatives/bm25-{depth}.parquet",
    log:
        "results/{study}/logs/mine_bm25/{depth}.log",
    benchmark:
        "results/{study}/benchmarks/mine_bm25/{depth}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        cfg=lambda w: {"depth": int(w.depth), "label": f"BM25 candidates, depth {w.depth}"},
        code=code("mine_bm25"),
    script:
        "../scripts/mine_bm25.py"


rule mine_hard:
    """The passages that base itself ranks highest for every training query, by exact search."""
    input:
        queries=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
        indexes=per_shard(f"results/{{study}}/index/base/seed-0/{STUDY.train_on}/{{shard}}-of-{{shards}}.faiss"),
    output:
        "results/{study}/negatives/hard-{depth}.parquet",
    log:
        "results/{study}/logs/mine_hard/{depth}.log",
    benchmark:
        "results/{study}/benchmarks/mine_hard/{depth}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        cfg=lambda w: {"depth": int(w.depth)},
        code=code("mine_hard"),
    script:
        "../scripts/mine_hard.py"


rule sample_triples:
    """Each triple is a training query, one of its relevant passages, and a candidate that is not judged for it and does not repeat a relevant passage's text; choices are keyed by seed and query."""
    input:
        candidates=lambda w: expand(
            "results/{study}/negatives/{candidates}.parquet",
            candidates=STUDY.triples[w.triples].candidates,
            allow_missing=True,
        ),
        qrels=f"data/{STUDY.train_on}/qrels/train.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        queries=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
    output:
        "results/{study}/triples/{triples}/seed-{seed}.parquet",
    log:
        "results/{study}/logs/sample_triples/{triples}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/sample_triples/{triples}/seed-{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cfg=lambda w: {
            "source": STUDY.triples[w.triples].negatives,
            "size": STUDY.triples[w.triples].size,
            "seed": int(w.seed),
        },
        code=code("sample_triples"),
    script:
        "../scripts/sample_triples.py"
