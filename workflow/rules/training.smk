"""Training: the base and other models, verified, every variant that is fine-tuned, and averages of them."""

from backfire.study.variants import BEST, Mixed


localrules:
    prepare_base,
    prepare_model,


# What a model that is not trained makes of the training queries and of their corpus.
VECTORS = [
    f"results/{{study}}/embeddings/{{of}}/seed-0/{STUDY.train_on}/queries/train.parquet",
    *per_shard("results/{study}/embeddings/{of}/seed-0/{collection}/corpus/{shard}-of-{shards}.parquet"),
]


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
        cfg=plain(STUDY.source_of("base")),
        # A folder that is edited is another base.
        files=base_files(STUDY.source_of("base")["name"], ".snakemake/backfire-base.json"),
        code=code("prepare_base"),
    script:
        "../scripts/prepare_base.py"


# Every other model that is taken as it is.
use rule prepare_base as prepare_model with:
    output:
        directory("results/{study}/models/{variant}/seed-0"),
    log:
        "results/{study}/logs/prepare_model/{variant}.log",
    benchmark:
        "results/{study}/benchmarks/prepare_model/{variant}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.taken_models[1:]) or "(?!)",
    params:
        cfg=lambda w: plain(STUDY.source_of(w.variant)),
        files=lambda w: base_files(STUDY.source_of(w.variant)["name"], f".snakemake/backfire-{w.variant}.json"),


rule mix_weights:
    """The weights of several models are averaged, tensor by tensor, in double precision; all else is base's, or that of the first of them by name. Where several shares are tried, the mix that has the highest watched measure is made; no evaluated split is read."""
    input:
        models=lambda w: [
            f"results/{w.study}/models/{name}/seed-{seed}" for (name, seed), _ in STUDY.shares(w.variant, w.seed)
        ],
        candidates=lambda w: [
            f"results/{w.study}/models/{name}/seed-{seed}" for name, seed in STUDY.candidates_of(w.variant, w.seed)
        ],
        best=lambda w: (
            [f"results/{w.study}/best/{STUDY.choosing[w.variant]}.json"] if w.variant in STUDY.choosing else []
        ),
        # What several shares are tried on.
        watched=lambda w: (
            [f"data/{STUDY.train_on}/{kind}/{STUDY.watched[1]}.parquet" for kind in ("queries", "qrels")]
            if w.variant in STUDY.weighing
            else []
        ),
        corpus=lambda w: (
            per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet")
            if w.variant in STUDY.weighing
            else []
        ),
    output:
        directory("results/{study}/models/{variant}/seed-{seed}"),
    log:
        "results/{study}/logs/mix_weights/{variant}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/mix_weights/{variant}/seed-{seed}.tsv"
    wildcard_constraints:
        variant="|".join(STUDY.named(Mixed)) or "(?!)",
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=asked("mix_weights", "mem_mb"),
        runtime=asked("mix_weights", "runtime"),
    params:
        cfg=lambda w: {
            "name": f"mix {w.variant} seed {w.seed}",
            "shares": [shares for _, shares in STUDY.shares(w.variant, w.seed)],
        }
        | (
            {
                "best": [weights[BEST] for weights in STUDY.variants[w.variant].tried],
                "best_of": STUDY.variants[w.variant].best_of,
            }
            if w.variant in STUDY.choosing
            else {}
        )
        | (
            {
                "watching": {
                    "max_length": STUDY.config["encoding"]["max_length"],
                    "measure": STUDY.config["dynamics"]["measures"][0],
                    "pool": STUDY.config["dynamics"]["pool"],
                    "relevant_from": STUDY.collections[STUDY.train_on].relevant_from(STUDY.watched[1]),
                    "size": STUDY.config["dynamics"]["queries"],
                }
            }
            if w.variant in STUDY.weighing
            else {}
        ),
        code=code("mix_weights"),
    script:
        "../scripts/mix_weights.py"


rule train_variant:
    """Each variant is trained on its triples with the objective of its `loss`, AdamW and the learning rate of its `schedule`; loss, gradient norm, weight drift, development measures and, where the objective has a margin, active triplets are recorded as it goes."""
    input:
        arithmetic=ARITHMETIC,
        model=lambda w: "results/{{study}}/models/{}/seed-{}".format(*STUDY.parent(w.variant, w.seed)),
        triples=lambda w: f"results/{{study}}/triples/{STUDY.variants[w.variant].triples}/seed-{{seed}}.parquet",
        corpus=per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet"),
        queries=f"data/{STUDY.train_on}/queries/train.parquet",
        # What else is relevant, where other examples' passages are negatives.
        qrels=lambda w: (
            [f"data/{STUDY.train_on}/qrels/train.parquet"] if STUDY.variants[w.variant].objective.in_batch else []
        ),
        # What a teacher says of the examples, where the objective follows it.
        teacher=lambda w: (
            [f"results/{{study}}/triples/{STUDY.variants[w.variant].triples}/seed-{{seed}}.teacher.parquet"]
            if STUDY.variants[w.variant].objective.teacher
            else []
        ),
        # What the base makes of the texts, where the objective compares with it.
        base=lambda w: expand(
            VECTORS if STUDY.variants[w.variant].objective.base else [], of="base", allow_missing=True
        ),
        # And what a guide makes of them, where one guides it.
        guide=lambda w: expand(
            VECTORS if STUDY.variants[w.variant].guide else [], of=STUDY.variants[w.variant].guide, allow_missing=True
        ),
        development_queries=f"data/{STUDY.train_on}/queries/{STUDY.config['dynamics']['split']}.parquet",
        development_qrels=f"data/{STUDY.train_on}/qrels/{STUDY.config['dynamics']['split']}.parquet",
    output:
        model=directory("results/{study}/models/{variant}/seed-{seed}"),
        dynamics="results/{study}/dynamics/{variant}/seed-{seed}.parquet",
        development="results/{study}/dynamics/{variant}/seed-{seed}.queries.parquet",
        layers="results/{study}/dynamics/{variant}/seed-{seed}.layers.parquet",
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
                "base_name": STUDY.source_of(STUDY.origin(w.variant))["name"],
                "relevant_from": STUDY.collections[STUDY.train_on].relevant_from(STUDY.config["dynamics"]["split"]),
                "seed": int(w.seed),
                "label": f"train {w.variant} seed {w.seed}",
            }
            # One of a ladder's that diverges leaves the others what they say.
            | ({} if w.variant in STUDY.compared else {"spare": True})
        ),
        code=code("train_variant"),
        # The script finds it by its name, so one more or another one's edit trains nothing again.
        objective=lambda w: " ".join(
            code(name, "workflow/lib/backfire/training/objectives/{}.py")
            for name in STUDY.variants[w.variant].objectives
        ),
        # Found by its name too, where adapters are peft's.
        adapters=lambda w: (
            code("peft_adapters", "workflow/lib/backfire/encoders/{}.py") if STUDY.variants[w.variant].by_peft else ""
        ),
        # No output: the engine removes those before each start, and a killed training goes on from what is here.
        checkpoints="results/{study}/checkpoints/{variant}/seed-{seed}",
    script:
        "../scripts/train_variant.py"
