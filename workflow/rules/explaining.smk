"""Explaining: which queries move, the shape of each model's embedding space, one map for all, and what each costs."""


localrules:
    collect_geometry,
    collect_cost,


from backfire.study.variants import BASE

# What the adapter of a variant's first seed is applied to.
ADAPTED = {
    name: "results/{}/models/{}/seed-{}".format(STUDY.name, *STUDY.parent(name, seed))
    for name, seed in STUDY.first_embedded
    if STUDY.variants[name].adapted
}


rule explain_queries:
    """For each variant the queries that moved most are listed with the passages that changed places with the answer; effects by query length, lexical overlap with the answer and base's rank get BCa bootstrap intervals, and by the first two permutation tests of dependence, corrected by Benjamini-Hochberg. Of every query that moved, the passage that changed places with the answer is a near duplicate of it, a passage that has come to be returned for many queries, one with fewer of the query's words, or another; kinds are counted among losses and gains and compared by Fisher's exact test, corrected likewise."""
    input:
        measures="results/{study}/measures.parquet",
        runs=per_run(
            expand(
                "results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
                collection=STUDY.primary[0],
                split=STUDY.primary[1],
                allow_missing=True,
            ),
            STUDY.first_runs,
        ),
        qrels=f"data/{STUDY.primary[0]}/qrels/{STUDY.primary[1]}.parquet",
        queries=f"data/{STUDY.primary[0]}/queries/{STUDY.primary[1]}.parquet",
        corpus=per_shard("data/{collection}/corpus/{shard}-of-{shards}.parquet", STUDY.primary[0]),
    output:
        moved="results/{study}/moved.parquet",
        strata="results/{study}/strata.parquet",
        replaced="results/{study}/replaced.parquet",
        exchanges="results/{study}/exchanges.parquet",
    log:
        "results/{study}/logs/explain_queries.log",
    benchmark:
        "results/{study}/benchmarks/explain_queries.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("explain_queries", "mem_mb"),
        runtime=asked("explain_queries", "runtime"),
    params:
        cfg=plain(
            {
                **STUDY.resampling,
                "depth": STUDY.config["ranking"]["depth"],
                "models": STUDY.first_runs,
                "primary": STUDY.primary,
                "relevant_from": STUDY.collections[STUDY.primary[0]].relevant_from(STUDY.primary[1]),
            }
        ),
        code=code("explain_queries"),
    script:
        "../scripts/explain_queries.py"


rule judge_exchanges:
    """Of every query whose answer changed places with a passage a teacher or reranker of the study scores both: a passage that it prefers and that nobody judged may lack a label. Shares get Wilson intervals; losses and gains are compared by Fisher's exact test, corrected by Benjamini-Hochberg."""
    input:
        exchanges="results/{study}/exchanges.parquet",
        model=f"results/{{study}}/{STUDY.judge.folder}" if STUDY.judge else [],
        qrels=f"data/{STUDY.primary[0]}/qrels/{STUDY.primary[1]}.parquet",
        queries=f"data/{STUDY.primary[0]}/queries/{STUDY.primary[1]}.parquet",
        corpus=per_shard("data/{collection}/corpus/{shard}-of-{shards}.parquet", STUDY.primary[0]),
    output:
        opinions="results/{study}/opinions.parquet",
        missing_labels="results/{study}/missing_labels.parquet",
    log:
        "results/{study}/logs/judge_exchanges.log",
    benchmark:
        "results/{study}/benchmarks/judge_exchanges.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("judge_exchanges", "mem_mb"),
        runtime=asked("judge_exchanges", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: {
            "alpha": STUDY.config["comparison"]["alpha"],
            "kind": STUDY.judge.kind,
            "max_length": STUDY.judge.max_length,
            "own": STUDY.judge.reranked,
            "label": "judge what changed places",
        },
        code=code("judge_exchanges"),
    script:
        "../scripts/judge_exchanges.py"


rule examine_triples:
    """The negatives of every set that is trained on, those of the first seed, are held against the positives: by base's scores, by runs of three words, and by the teacher's scores where there is a teacher. Shares get intervals over queries (Korn and Graubard)."""
    input:
        triples=expand(
            "results/{study}/triples/{triples}/seed-{seed}.parquet",
            triples=STUDY.used,
            seed=STUDY.seeds[0],
            allow_missing=True,
        ),
        teachers=expand(
            "results/{study}/triples/{triples}/seed-{seed}.teacher.parquet",
            triples=STUDY.followed,
            seed=STUDY.seeds[0],
            allow_missing=True,
        ),
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        query_embeddings=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
    output:
        facts="results/{study}/forensics.parquet",
        filters="results/{study}/filter_curves.parquet",
    log:
        "results/{study}/logs/examine_triples.log",
    benchmark:
        "results/{study}/benchmarks/examine_triples.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("examine_triples", "mem_mb"),
        runtime=asked("examine_triples", "runtime"),
    params:
        cfg={
            "alpha": STUDY.config["comparison"]["alpha"],
            "sets": STUDY.used,
            "taught": STUDY.followed,
        },
        code=code("examine_triples"),
    script:
        "../scripts/examine_triples.py"


rule measure_geometry:
    """Embedding statistics are taken over passages sampled by id, over their distance from where base has them, and over the pairs of one split that are relevant there (from the grade in `relevance` on)."""
    input:
        shards=shards_of(
            "results/{study}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"
        ),
        base=lambda w: (
            []
            if w.variant == BASE
            else expand(
                per_shard(
                    f"results/{{study}}/embeddings/{BASE}/seed-0/{{collection}}/corpus/{{shard}}-of-{{shards}}.parquet",
                    w.collection,
                ),
                study=w.study,
            )
        ),
        queries=lambda w: expand(
            "results/{study}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet",
            split=STUDY.judged_split(w.collection),
            **w,
        ),
        qrels=lambda w: expand(
            "data/{collection}/qrels/{split}.parquet",
            split=STUDY.judged_split(w.collection),
            collection=w.collection,
        ),
    output:
        "results/{study}/geometry/{variant}/seed-{seed}/{collection}.parquet",
    log:
        "results/{study}/logs/measure_geometry/{variant}/seed-{seed}/{collection}.log",
    benchmark:
        "results/{study}/benchmarks/measure_geometry/{variant}/seed-{seed}/{collection}.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("measure_geometry", "mem_mb"),
        runtime=asked("measure_geometry", "runtime"),
    params:
        cfg=lambda w: {
            "collection": w.collection,
            "relevant_from": STUDY.collections[w.collection].relevant_from(STUDY.judged_split(w.collection)),
            "sample": STUDY.config["geometry"]["sample"],
            "sample_seed": STUDY.config["geometry"]["seed"],
            "seed": int(w.seed),
            "variant": w.variant,
        },
        code=code("measure_geometry"),
    script:
        "../scripts/measure_geometry.py"


rule collect_geometry:
    """The statistics of all models and collections become one table."""
    input:
        per_run(
            expand(
                "results/{study}/geometry/{variant}/seed-{seed}/{collection}.parquet",
                collection=STUDY.looked_at,
                allow_missing=True,
            ),
            STUDY.embedded_runs,
        ),
    output:
        "results/{study}/geometry.parquet",
    log:
        "results/{study}/logs/collect_geometry.log",
    benchmark:
        "results/{study}/benchmarks/collect_geometry.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("collect_geometry"),
    script:
        "../scripts/collect_geometry.py"


rule project_embeddings:
    """UMAP is fitted once on the base's passages, and all models that descend from it place the same passages and queries on that map; a model of another origin has a map of its own. How many neighbours maps of several seeds keep, and how far points drift when vectors turn by next to nothing, is told beside it."""
    input:
        shards=per_run(
            per_shard(
                "results/{study}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet",
                STUDY.primary[0],
            ),
            [STUDY.passages_of(*run) for run in STUDY.first_embedded],
        ),
        queries=per_run(
            expand(
                "results/{study}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet",
                collection=STUDY.primary[0],
                split=STUDY.primary[1],
                allow_missing=True,
            ),
            STUDY.first_embedded,
        ),
    output:
        places="results/{study}/projection.parquet",
        quality="results/{study}/maps.parquet",
    log:
        "results/{study}/logs/project_embeddings.log",
    benchmark:
        "results/{study}/benchmarks/project_embeddings.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("project_embeddings", "mem_mb"),
        runtime=asked("project_embeddings", "runtime"),
    params:
        cfg={
            "maps": [STUDY.space(name) for name, _ in STUDY.first_embedded],
            "min_dist": STUDY.config["projection"]["min_dist"],
            "models": [list(run) for run in STUDY.first_embedded],
            "neighbors": STUDY.config["projection"]["neighbors"],
            "passages": STUDY.config["projection"]["passages"],
            "sampled_queries": STUDY.config["projection"]["queries"],
            "seed": STUDY.config["projection"]["seed"],
            "seeds": STUDY.config["projection"]["seeds"],
        },
        code=code("project_embeddings"),
    script:
        "../scripts/project_embeddings.py"


rule measure_latency:
    """Queries are encoded one at a time and in batches, each batch by every model before the next one comes, in an order drawn anew each time, on an otherwise idle machine; adapters merged and unmerged. Of a variant's seeds the first one is timed."""
    input:
        arithmetic=ARITHMETIC,
        models=per_run("results/{study}/models/{variant}/seed-{seed}", STUDY.first_embedded),
        # What adapters are applied to.
        bases=sorted(set(ADAPTED.values())),
        queries=f"data/{STUDY.primary[0]}/queries/{STUDY.primary[1]}.parquet",
    output:
        times="results/{study}/latency.parquet",
        quantities="results/{study}/cost/latency.parquet",
    log:
        "results/{study}/logs/measure_latency.log",
    benchmark:
        "results/{study}/benchmarks/measure_latency.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: ALL_THREADS
    resources:
        mem_mb=asked("measure_latency", "mem_mb"),
        runtime=asked("measure_latency", "runtime"),
        gpu=GPU,
    params:
        cfg={
            "batches": STUDY.config["latency"]["batches"],
            "count": STUDY.config["latency"]["queries"],
            "max_length": STUDY.config["encoding"]["max_length"],
            "models": [[name, seed, ADAPTED.get(name)] for name, seed in STUDY.first_embedded],
            "precision": STUDY.config["encoding"]["precision"],
            "rounds": STUDY.config["latency"]["rounds"],
        },
        code=code("measure_latency"),
        # Found by its name too, where adapters are peft's.
        adapters=(
            code("peft_adapters", "workflow/lib/backfire/encoders/{}.py")
            if any(STUDY.variants[name].by_peft for name in ADAPTED)
            else ""
        ),
    script:
        "../scripts/measure_latency.py"


rule collect_cost:
    """Training time, encoding rate, memory and parameters of every model are put in one table, with percentiles of the times that queries took."""
    input:
        times="results/{study}/latency.parquet",
        quantities="results/{study}/cost/latency.parquet",
        training=per_run("results/{study}/cost/{variant}/seed-{seed}/training.json", STUDY.trained_runs),
        encoding=[
            path
            for collection in STUDY.looked_at
            for path in per_shard(
                per_run(
                    "results/{study}/cost/{variant}/seed-{seed}/encoding-{collection}-{shard}-of-{shards}.json",
                    STUDY.encoding_runs,
                ),
                collection,
            )
        ],
        reranking=per_split(
            per_run(
                "results/{study}/cost/{variant}/seed-{seed}/reranking-{collection}-{split}.json",
                STUDY.reranking_runs,
            )
        ),
        searching=per_run(
            f"results/{{study}}/cost/{{variant}}/seed-{{seed}}/searching-{STUDY.primary[0]}-{STUDY.primary[1]}.json",
            STUDY.searching_runs,
        ),
    output:
        "results/{study}/cost.parquet",
    log:
        "results/{study}/logs/collect_cost.log",
    benchmark:
        "results/{study}/benchmarks/collect_cost.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        cfg=plain({"runs": STUDY.costed_runs}),
        code=code("collect_cost"),
    script:
        "../scripts/collect_cost.py"
