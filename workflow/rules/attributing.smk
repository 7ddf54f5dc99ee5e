"""Attributing: which part of a recipe did it, and what wrong labels cost."""


rule attribute_ladder:
    """The difference between the two recipes of `ladder` is shared out among their factors by Shapley values, query by query: what a factor changes, averaged over the orders in which the factors can be changed; parts get intervals and tests as differences from base do, those at the primary measure corrected by step-down maxT."""
    input:
        measures=per_run("results/{study}/measures/{variant}/seed-{seed}.parquet", STUDY.ladder_runs),
        # Whether they diverged.
        models=per_run("results/{study}/models/{variant}/seed-{seed}", STUDY.rungs),
    output:
        parquet="results/{study}/ladder.parquet",
        csv=report(
            "results/{study}/ladder.csv",
            caption="../report/ladder.rst",
            category="Explanations",
            labels={"figure": "what each part of the recipe is worth (table)"},
        ),
    log:
        "results/{study}/logs/attribute_ladder.log",
    benchmark:
        "results/{study}/benchmarks/attribute_ladder.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("attribute_ladder", "mem_mb"),
        runtime=asked("attribute_ladder", "runtime"),
    params:
        cfg=lambda w: plain(
            {
                "ladder": STUDY.ladder.plain,
                "models": STUDY.rungs,
                "places": [(*pair, STUDY.primary[2]) for pair in STUDY.evaluations],
                "primary": STUDY.primary,
                "rules": STUDY.config["comparison"],
            }
        ),
        code=code("attribute_ladder"),
    script:
        "../scripts/attribute_ladder.py"


rule measure_doses:
    """Through the values of each query of the variants that differ in nothing but their share of wrong labels a line is laid by least squares; its slope gets intervals and tests as differences from base do."""
    input:
        per_run(
            "results/{study}/measures/{variant}/seed-{seed}.parquet",
            [run for run in STUDY.trained_runs if run[0] in {name for group in STUDY.doses for name, _ in group}],
        ),
    output:
        "results/{study}/doses.parquet",
    log:
        "results/{study}/logs/measure_doses.log",
    benchmark:
        "results/{study}/benchmarks/measure_doses.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("measure_doses", "mem_mb"),
        runtime=asked("measure_doses", "runtime"),
    params:
        cfg=lambda w: plain(
            {
                "groups": STUDY.doses,
                "places": [(*pair, STUDY.primary[2]) for pair in STUDY.evaluations],
                "primary": STUDY.primary,
                "rules": STUDY.config["comparison"],
            }
        ),
        code=code("measure_doses"),
    script:
        "../scripts/measure_doses.py"
