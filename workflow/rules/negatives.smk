"""Negatives: for each training query passages that do not answer it, and triples sampled from them, scored by a teacher where one is named."""


localrules:
    prepare_teacher,


# Of the examples that are drawn, where the collection that is trained on joins others.
SHARES = STUDY.collections[STUDY.train_on].shares


rule count_terms:
    """Words of the training corpus: for each the passages that hold it, and its occurrences."""
    input:
        per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
    output:
        "results/{study}/negatives/terms.parquet",
    log:
        "results/{study}/logs/count_terms.log",
    benchmark:
        "results/{study}/benchmarks/count_terms.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=asked("count_terms", "mem_mb"),
        runtime=asked("count_terms", "runtime"),
    params:
        code=code("count_terms"),
    script:
        "../scripts/count_terms.py"


rule mine_bm25:
    """BM25 candidates of every training query among the passages of one part of the corpus, with word counts of the whole corpus."""
    input:
        terms="results/{study}/negatives/terms.parquet",
        corpus=part_of(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
    output:
        temp("results/{study}/negatives/parts/bm25-{depth}/{part}-of-{parts}.parquet"),
    log:
        "results/{study}/logs/mine_bm25/{depth}/{part}-of-{parts}.log",
    benchmark:
        "results/{study}/benchmarks/mine_bm25/{depth}/{part}-of-{parts}.tsv"
    wildcard_constraints:
        part=r"\d+",
        parts=str(STUDY.parts),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=asked("mine_bm25", "mem_mb"),
        runtime=asked("mine_bm25", "runtime"),
    params:
        cfg=lambda w: {"depth": int(w.depth), "label": f"BM25 candidates, depth {w.depth}, part {w.part}/{w.parts}"},
        code=code("mine_bm25"),
    script:
        "../scripts/mine_bm25.py"


rule mine_hard:
    """The passages of one part of the corpus that base itself ranks highest for every training query, by exact search."""
    input:
        queries=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=part_of(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
        indexes=part_of(f"results/{{study}}/index/base/seed-0/{STUDY.train_on}/{{shard}}-of-{{shards}}.faiss"),
    output:
        temp("results/{study}/negatives/parts/hard-{depth}/{part}-of-{parts}.parquet"),
    log:
        "results/{study}/logs/mine_hard/{depth}/{part}-of-{parts}.log",
    benchmark:
        "results/{study}/benchmarks/mine_hard/{depth}/{part}-of-{parts}.tsv"
    wildcard_constraints:
        part=r"\d+",
        parts=str(STUDY.parts),
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("mine_hard", "mem_mb"),
        runtime=asked("mine_hard", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: {"depth": int(w.depth), "label": f"hard candidates, depth {w.depth}, part {w.part}/{w.parts}"},
        code=code("mine_hard"),
    script:
        "../scripts/mine_hard.py"


rule merge_candidates:
    """The candidates of every training query over the whole corpus, best first, down to the depth asked for."""
    input:
        parts=expand(
            "results/{study}/negatives/parts/{source}-{depth}/{part}-of-{parts}.parquet",
            part=range(1, STUDY.parts + 1),
            parts=str(STUDY.parts),
            allow_missing=True,
        ),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
    output:
        "results/{study}/negatives/{source}-{depth}.parquet",
    log:
        "results/{study}/logs/merge_candidates/{source}-{depth}.log",
    benchmark:
        "results/{study}/benchmarks/merge_candidates/{source}-{depth}.tsv"
    wildcard_constraints:
        source="bm25|hard",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=asked("merge_candidates", "mem_mb"),
        runtime=asked("merge_candidates", "runtime"),
    params:
        cfg=lambda w: {"depth": int(w.depth), "label": f"merge {w.source}, depth {w.depth}"},
        # The parts are gone when a change of their code is looked for.
        mining=lambda w: code(f"mine_{w.source}"),
        code=code("merge_candidates"),
    script:
        "../scripts/merge_candidates.py"


rule sample_triples:
    """Each example is a training query, one of its relevant passages (from the grade in `relevance` on), and so many candidates as are set, none of which is judged above grade 0 for it, repeats the text of one that is, is the query itself (by id or text) or is dropped by the set's filter; choices are keyed by seed and query."""
    input:
        candidates=lambda w: expand(
            "results/{study}/negatives/{candidates}.parquet",
            candidates=STUDY.triples[w.triples].candidates,
            allow_missing=True,
        ),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
        qrels=f"data/{STUDY.train_on}/qrels/train.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        query_embeddings=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
    output:
        triples="results/{study}/triples/{triples}/seed-{seed}.parquet",
        manifest="results/{study}/triples/{triples}/seed-{seed}.json",
    log:
        "results/{study}/logs/sample_triples/{triples}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/sample_triples/{triples}/seed-{seed}.tsv"
    wildcard_constraints:
        triples="|".join(name for name in STUDY.triples if name not in STUDY.published | STUDY.listed) or "(?!)",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=asked("sample_triples", "mem_mb"),
        runtime=asked("sample_triples", "runtime"),
    params:
        cfg=lambda w: {
            "source": STUDY.triples[w.triples].negatives,
            "size": STUDY.triples[w.triples].size,
            "seed": int(w.seed),
            "relevant_from": STUDY.collections[STUDY.train_on].relevant_from(TRAIN),
            "ranks": plain(STUDY.triples[w.triples].ranks),
            "negatives_per_query": STUDY.triples[w.triples].negatives_per_query,
            "filter": plain(STUDY.triples[w.triples].filter),
        }
        | ({"shares": SHARES} if SHARES else {})
        | ({"swapped": STUDY.triples[w.triples].swapped} if STUDY.triples[w.triples].swapped else {}),
        code=code("sample_triples"),
    script:
        "../scripts/sample_triples.py"


rule sample_published:
    """Triples as published, those with the smallest hash of seed and triple among all whose query is a training query, whose passages are in the corpus and whose negative is not the query itself (by id or text); equal ones count once."""
    input:
        download=DOWNLOADED[STUDY.train_on],
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        query_embeddings=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
    output:
        triples="results/{study}/triples/{triples}/seed-{seed}.parquet",
        manifest="results/{study}/triples/{triples}/seed-{seed}.json",
    log:
        "results/{study}/logs/sample_published/{triples}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/sample_published/{triples}/seed-{seed}.tsv"
    wildcard_constraints:
        triples="|".join(STUDY.published) or "(?!)",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("sample_published", "mem_mb"),
        runtime=asked("sample_published", "runtime"),
    params:
        cfg=lambda w: {
            "corpus": STUDY.collections[STUDY.train_on].corpus,
            "source": STUDY.triples[w.triples].source,
            "size": STUDY.triples[w.triples].size,
            "seed": int(w.seed),
            "label": f"published triples {w.triples} seed {w.seed}",
        },
        code=code("sample_published"),
    script:
        "../scripts/sample_published.py"


rule take_triples:
    """Examples of a file of one's own are taken as they are, those of training queries and of passages that the collection has; what a file names otherwise stops the study or is left out and counted, and equal ones count once."""
    input:
        file=lambda w: pairs_files(STUDY.listed[w.triples]),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
        splits=[f"data/{STUDY.train_on}/queries/{split}.parquet" for split in STUDY.collections[STUDY.train_on].splits],
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        query_embeddings=f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/queries/train.parquet",
        embeddings=per_shard(
            f"results/{{study}}/embeddings/base/seed-0/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"
        ),
    output:
        triples="results/{study}/triples/{triples}/seed-{seed}.parquet",
        manifest="results/{study}/triples/{triples}/seed-{seed}.json",
    log:
        "results/{study}/logs/take_triples/{triples}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/take_triples/{triples}/seed-{seed}.tsv"
    wildcard_constraints:
        triples="|".join(STUDY.listed) or "(?!)",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("take_triples", "mem_mb"),
        runtime=asked("take_triples", "runtime"),
    params:
        cfg=lambda w: plain(STUDY.triples[w.triples].reading)
        | {
            "splits": list(STUDY.collections[STUDY.train_on].splits),
            "cut": STUDY.collections[STUDY.train_on].cut,
            "seed": int(w.seed),
            "label": f"triples {w.triples} seed {w.seed}",
        },
        code=code("take_triples"),
    script:
        "../scripts/take_triples.py"


rule prepare_teacher:
    """A teacher is taken from this machine or the hub, its weights are checked against the digest that is named, and it is tried out."""
    output:
        directory("results/{study}/teachers/{triples}"),
    log:
        "results/{study}/logs/prepare_teacher/{triples}.log",
    benchmark:
        "results/{study}/benchmarks/prepare_teacher/{triples}.tsv"
    wildcard_constraints:
        triples="|".join(STUDY.taught_by) or "(?!)",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        cfg=lambda w: STUDY.triples[w.triples].teacher_source | {"kind": STUDY.triples[w.triples].teacher["kind"]},
        files=lambda w: base_files(
            STUDY.triples[w.triples].teacher["model"], f".snakemake/backfire-teacher-{w.triples}.json"
        ),
        code=code("prepare_teacher"),
    script:
        "../scripts/prepare_teacher.py"


rule score_teacher:
    """A teacher scores each query with the positive and the negatives of its examples, each pair once."""
    input:
        triples="results/{study}/triples/{triples}/seed-{seed}.parquet",
        model="results/{study}/teachers/{triples}",
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
    output:
        "results/{study}/triples/{triples}/seed-{seed}.teacher.parquet",
    log:
        "results/{study}/logs/score_teacher/{triples}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/score_teacher/{triples}/seed-{seed}.tsv"
    wildcard_constraints:
        triples="|".join(STUDY.taught_by) or "(?!)",
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("score_teacher", "mem_mb"),
        runtime=asked("score_teacher", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: {
            "kind": STUDY.triples[w.triples].teacher["kind"],
            "max_length": STUDY.teacher_length(w.triples),
            "label": f"teacher of {w.triples} seed {w.seed}",
        },
        code=code("score_teacher"),
    script:
        "../scripts/score_teacher.py"
