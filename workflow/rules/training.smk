"""Training: the base, verified, and every variant fine-tuned from it."""


localrules:
    prepare_base,


rule prepare_base:
    """The base model is taken from this machine or the hub, its weights are checked against a pinned SHA-256, and what it gives for some sixty texts is compared with sentence-transformers, which runs it wherever Backfire's own path gives anything else."""
    output:
        directory("results/{study}/models/base/seed-0"),
    log:
        "results/{study}/logs/prepare_base.log",
    benchmark:
        "results/{study}/benchmarks/prepare_base.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        cfg=plain({"name": STUDY.config["base_model"], "sha256": STUDY.config["base_model_sha256"]}),
        # A folder that is edited is another base.
        files=base_files(STUDY.config["base_model"], ".snakemake/backfire-base.json"),
        code=code("prepare_base"),
    script:
        "../scripts/prepare_base.py"


rule train_variant:
    """Each variant is trained on its triples with the objective of its `loss`, AdamW and a linear schedule with warm-up; loss, gradient norm, weight drift, development measures and, where the objective has a margin, active triplets are recorded as it goes."""
    input:
        model=lambda w: "results/{{study}}/models/{}/seed-{}".format(*STUDY.parent(w.variant, w.seed)),
        triples=lambda w: f"results/{{study}}/triples/{STUDY.variants[w.variant].triples}/seed-{{seed}}.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
        # What else is relevant, where other examples' passages are negatives.
        qrels=lambda w: (
            [f"data/{STUDY.train_on}/qrels/train.parquet"] if STUDY.variants[w.variant].objective.in_batch else []
        ),
        development_queries=f"data/{STUDY.train_on}/queries/{STUDY.config['dynamics']['split']}.parquet",
        development_qrels=f"data/{STUDY.train_on}/qrels/{STUDY.config['dynamics']['split']}.parquet",
    output:
        model=directory("results/{study}/models/{variant}/seed-{seed}"),
        dynamics="results/{study}/dynamics/{variant}/seed-{seed}.parquet",
        development="results/{study}/dynamics/{variant}/seed-{seed}.queries.parquet",
        cost="results/{study}/cost/{variant}/seed-{seed}/training.json",
    log:
        "results/{study}/logs/train_variant/{variant}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/train_variant/{variant}/seed-{seed}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.trained) or "none",
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("train_variant", "mem_mb"),
        runtime=asked("train_variant", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: plain(
            {
                "settings": STUDY.variants[w.variant].settings,
                "dynamics": STUDY.config["dynamics"],
                "base_name": STUDY.config["base_model"],
                "relevant_from": STUDY.collections[STUDY.train_on].relevant_from(STUDY.config["dynamics"]["split"]),
                "seed": int(w.seed),
                "label": f"train {w.variant} seed {w.seed}",
            }
        ),
        code=code("train_variant"),
        # The script finds it by its name, so one more or another one's edit trains nothing again.
        objective=lambda w: code(
            STUDY.variants[w.variant].settings["loss"]["name"], "workflow/lib/backfire/training/objectives/{}.py"
        ),
        # No output: the engine removes those before each start, and a killed training goes on from what is here.
        checkpoints="results/{study}/checkpoints/{variant}/seed-{seed}",
    script:
        "../scripts/train_variant.py"
