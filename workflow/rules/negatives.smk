"""Negatives: for each training query passages that do not answer it, and triples sampled from them."""


def candidates(w):
    """The candidate list that a triple set is drawn from; none for the random source."""
    chosen = STUDY.triples[w.triples]
    return [] if chosen.negatives == "random" else f"results/{{study}}/negatives/{chosen.negatives}-{chosen.depth}.parquet"


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
    params:
        cfg=lambda w: {"depth": int(w.depth), "label": f"BM25 candidates, depth {w.depth}"},
        code=code("mine_bm25"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    script:
        "../scripts/mine_bm25.py"


rule mine_hard:
    """The passages that base itself ranks highest for every training query, by exact search."""
    input:
        queries=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        indexes=per_shard(f"results/{{study}}/index/base/seed-0/{STUDY.train_on}/{{shard}}-of-{{shards}}.faiss"),
    output:
        "results/{study}/negatives/hard-{depth}.parquet",
    log:
        "results/{study}/logs/mine_hard/{depth}.log",
    benchmark:
        "results/{study}/benchmarks/mine_hard/{depth}.tsv"
    params:
        cfg=lambda w: {"depth": int(w.depth)},
        code=code("mine_hard"),
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=120,
    script:
        "../scripts/mine_hard.py"


rule sample_triples:
    """Each triple is a training query, one of its relevant passages, and a candidate that is not judged for it and does not repeat a relevant passage's text; choices are keyed by seed and query."""
    input:
        candidates=candidates,
        qrels=f"data/{STUDY.train_on}/qrels/train.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        queries=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
    output:
        "results/{study}/triples/{triples}/seed-{seed}.parquet",
    log:
        "results/{study}/logs/sample_triples/{triples}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/sample_triples/{triples}/seed-{seed}.tsv"
    params:
        cfg=lambda w: {
            "source": STUDY.triples[w.triples].negatives,
            "size": STUDY.triples[w.triples].size,
            "seed": int(w.seed),
        },
        code=code("sample_triples"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    script:
        "../scripts/sample_triples.py"
