"""Forecasting: what can be seen of a study before anything is trained."""

from backfire.forecast.subjects import foreseen, subjects


localrules:
    check,


LOOKED = subjects(STUDY)
# Models that are taken as they are, by the names that they are known by.
TAKEN = {name: STUDY.source_of(name)["name"] for name in STUDY.taken_models}
# Of the sets that are trained on, where anything is.
TRAINED_ON = {
    "queries": [f"data/{STUDY.train_on}/queries/train.parquet"] if STUDY.used else [],
    "corpus": per_shard(f"data/{STUDY.train_on}/corpus/{{shard}}-of-{{shards}}.parquet") if STUDY.used else [],
}
SETS = "results/{study}/triples/{triples}/seed-{seed}.parquet"


rule look_ahead:
    """Before anything is trained, the objective of each variant is taken on the examples that its training would begin with."""
    input:
        **TRAINED_ON,
        base=f"results/{{study}}/models/{BASE}/seed-0",
        starts=[f"results/{{study}}/models/{STUDY.variants[name].start_from}/seed-0" for name in LOOKED],
        models=[f"results/{{study}}/models/{name}/seed-0" for name in TAKEN],
        triples=[
            f"results/{{study}}/triples/{STUDY.variants[name].triples}/seed-{STUDY.seeds[0]}.parquet"
            for name in LOOKED
        ],
        teachers=[
            f"results/{{study}}/triples/{STUDY.variants[name].triples}/seed-{STUDY.seeds[0]}.teacher.parquet"
            for name in LOOKED
            if STUDY.variants[name].objective.teacher
        ],
        qrels=[f"data/{STUDY.train_on}/qrels/train.parquet"] if STUDY.used else [],
        collections=[
            file
            for name in STUDY.looked_at
            for file in per_shard("data/{collection}/corpus/{shard}-of-{shards}.parquet", name)
        ],
        base_vectors=expand(
            (
                VECTORS
                if any(STUDY.variants[name].objective.base or STUDY.variants[name].guide for name in LOOKED)
                else []
            ),
            of=BASE,
            allow_missing=True,
        ),
    output:
        "results/{study}/looks.json",
    log:
        "results/{study}/logs/look_ahead.log",
    benchmark:
        "results/{study}/benchmarks/look_ahead.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("look_ahead", "mem_mb"),
        runtime=asked("look_ahead", "runtime"),
    params:
        cfg=plain(
            {
                # Lists, in the order of the inputs: a parameter's keys have none.
                "subjects": [
                    {
                        "name": name,
                        "settings": STUDY.variants[name].settings,
                        "seed": STUDY.seeds[0],
                        "base_name": STUDY.source_of(STUDY.variants[name].start_from)["name"],
                    }
                    for name in LOOKED
                ],
                "taught": [name for name in LOOKED if STUDY.variants[name].objective.teacher],
                "models": list(TAKEN.items()),
                "collections": [[name, STUDY.shards_of(name)] for name in STUDY.looked_at],
                "max_length": STUDY.config["encoding"]["max_length"],
            }
        ),
        code=code("look_ahead"),
        objectives=" ".join(
            code(name, "workflow/lib/backfire/training/objectives/{}.py")
            for name in sorted({each for name in LOOKED for each in STUDY.variants[name].objectives})
        ),
    script:
        "../scripts/look_ahead.py"


rule forecast_study:
    """What usually goes wrong with such recipes and such data, and what so many queries can settle, is said before anything is trained."""
    input:
        **TRAINED_ON,
        looks="results/{study}/looks.json",
        forensics=["results/{study}/forensics.parquet"] if STUDY.used else [],
        triples=expand(SETS, triples=STUDY.used, seed=STUDY.seeds[0], allow_missing=True),
        evaluated=[f"data/{name}/queries/{split}.parquet" for name, split in STUDY.evaluations],
        measures=f"results/{{study}}/measures/{BASE}/seed-0.parquet",
    output:
        data="results/{study}/forecast.json",
        text="results/{study}/forecast.txt",
    log:
        "results/{study}/logs/forecast_study.log",
    benchmark:
        "results/{study}/benchmarks/forecast_study.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("forecast_study", "mem_mb"),
        runtime=asked("forecast_study", "runtime"),
    params:
        cfg=plain(
            {
                "config": foreseen(STUDY.config),
                "evaluated": STUDY.evaluations,
                "sets": STUDY.used,
                "variants": STUDY.compared,
            }
        ),
        code=code("forecast_study"),
    script:
        "../scripts/forecast_study.py"


# Without output, it prints whenever it is asked for.
rule check:
    """The forecast is printed."""
    input:
        text=f"results/{STUDY.name}/forecast.txt",
    log:
        f"results/{STUDY.name}/logs/check.log",
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code("check"),
    script:
        "../scripts/check.py"
