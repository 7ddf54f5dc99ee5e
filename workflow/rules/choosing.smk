"""Choosing: where a study picks one variant among several, it picks on the watched split and on nothing else."""


localrules:
    measure_candidate,
    choose_variants,
    choose_best,


# Lists of one, as `expand` takes them; empty where nothing is trained, and so nothing chosen.
WATCHED = dict(zip(("collection", "split"), ([part] for part in STUDY.watched or ("none", "none"))))


# Every query of the split that is watched in training, with the measures that `selections` choose by.
use rule measure_run as measure_candidate with:
    input:
        runs=expand(
            "results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec", **WATCHED, allow_missing=True
        ),
        qrels=expand("data/{collection}/qrels/{split}.parquet", **WATCHED),
    output:
        measures="results/{study}/candidates/{variant}/seed-{seed}.parquet",
        ties="results/{study}/candidates/{variant}/seed-{seed}.ties.parquet",
    log:
        "results/{study}/logs/measure_candidate/{variant}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/measure_candidate/{variant}/seed-{seed}.tsv"
    params:
        cfg=lambda w: {
            "depth": STUDY.config["ranking"]["depth"],
            "evaluations": [list(STUDY.watched)],
            "measures": sorted({choice.measure for choice in STUDY.selections.values() if w.variant in choice.among}),
            "relevance": [STUDY.collections[STUDY.train_on].relevant_from(STUDY.watched[1])],
        },


rule choose_variants:
    """Of the candidates of each choice the one with the highest mean over the queries of the watched split and the seeds is chosen; no evaluated split is read."""
    input:
        measures=per_run("results/{study}/candidates/{variant}/seed-{seed}.parquet", STUDY.candidates),
    output:
        selection="results/{study}/selection.parquet",
    log:
        "results/{study}/logs/choose_variants.log",
    benchmark:
        "results/{study}/benchmarks/choose_variants.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg=lambda w: {
            "selections": {
                name: {"among": choice.among, "measure": choice.measure}
                for name, choice in sorted(STUDY.selections.items())
            },
            "watched": list(STUDY.watched),
        },
        code=code("choose_variants"),
    script:
        "../scripts/choose_variants.py"


rule choose_best:
    """Where a variant takes the best one of several, it is the one whose watched measure was highest at its last look, the mean over the seeds; no evaluated split is read."""
    input:
        tables=lambda w: [
            f"results/{w.study}/dynamics/{name}/seed-{seed}.parquet"
            for name in STUDY.variants[w.variant].best_of
            for seed in STUDY.seeds_of(name)
        ],
    output:
        "results/{study}/best/{variant}.json",
    log:
        "results/{study}/logs/choose_best/{variant}.log",
    benchmark:
        "results/{study}/benchmarks/choose_best/{variant}.tsv"
    wildcard_constraints:
        variant="|".join(sorted({*STUDY.choosing.values()})) or "(?!)",
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        cfg=lambda w: {
            "measure": STUDY.config["dynamics"]["measures"][0],
            "runs": [[name, seed] for name in STUDY.variants[w.variant].best_of for seed in STUDY.seeds_of(name)],
        },
        code=code("choose_best"),
    script:
        "../scripts/choose_best.py"
