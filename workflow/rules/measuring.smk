"""Measuring: how good each ranking is, query by query, and how sure a difference from base is."""


localrules:
    measure_run,
    collect_measures,
    tabulate,


rule measure_run:
    """Every query of every split is scored with each of `measures` by ir_measures, in the order of the run; measures without grades count passages from the grade in `relevance`, by default 1; a query without results scores 0. Where passages of equal score differ in grade, it is scored in their worst and their best order too, as if a tie at the end of the run had been cut by its depth."""
    input:
        runs=per_split("results/{study}/runs/{variant}/seed-{seed}/{collection}/{split}.trec"),
        qrels=per_split("data/{collection}/qrels/{split}.parquet"),
    output:
        measures="results/{study}/measures/{variant}/seed-{seed}.parquet",
        ties="results/{study}/ties/{variant}/seed-{seed}.parquet",
    log:
        "results/{study}/logs/measure_run/{variant}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/measure_run/{variant}/seed-{seed}.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        cfg=lambda w: {
            "depth": STUDY.config["ranking"]["depth"],
            "evaluations": plain(STUDY.evaluations),
            "measures": STUDY.config["measures"],
            "relevance": [STUDY.collections[name].relevant_from(split) for name, split in STUDY.evaluations],
        },
        code=code("measure_run"),
    script:
        "../scripts/measure_run.py"


rule collect_measures:
    """The values of all variants and seeds, which must cover the same queries, form one table, and their worst and best means over all orders of ties another."""
    input:
        parts=per_run("results/{study}/measures/{variant}/seed-{seed}.parquet"),
        ties=per_run("results/{study}/ties/{variant}/seed-{seed}.parquet"),
        encoded=per_run(
            per_split("results/{study}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet"),
            STUDY.embedded_runs,
        ),
    output:
        measures="results/{study}/measures.parquet",
        ties="results/{study}/ties.parquet",
    log:
        "results/{study}/logs/collect_measures.log",
    benchmark:
        "results/{study}/benchmarks/collect_measures.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        cfg=lambda w: {},
        code=code("collect_measures"),
    script:
        "../scripts/collect_measures.py"


rule compare_variants:
    """Differences from base, paired by query, get a bootstrap interval (BCa; over seeds and queries where there are several seeds), a two-sided sign-flip test, a paired t test and two one-sided tests against a margin; p-values of the variants at the primary measure are corrected by step-down maxT, as are those between the variants that help, and those of all other comparisons by Benjamini-Hochberg."""
    input:
        measures="results/{study}/measures.parquet",
        selection=["results/{study}/selection.parquet"] if STUDY.selections else [],
    output:
        parquet="results/{study}/comparison.parquet",
        csv=report(
            "results/{study}/comparison.csv",
            caption="../report/comparison.rst",
            category="Verdict",
            labels={"figure": "all comparisons"},
        ),
    log:
        "results/{study}/logs/compare_variants.log",
    benchmark:
        "results/{study}/benchmarks/compare_variants.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("compare_variants", "mem_mb"),
        runtime=asked("compare_variants", "runtime"),
    params:
        cfg=lambda w: {
            "design": plain(
                {
                    "variants": STUDY.compared,
                    "evaluations": STUDY.evaluations,
                    "measures": STUDY.config["measures"],
                    "primary": STUDY.primary,
                    "elsewhere": STUDY.elsewhere,
                    "taught": STUDY.taught,
                    "alternatives": STUDY.alternatives,
                }
            ),
            "rules": STUDY.config["comparison"],
        },
        code=code("compare_variants"),
    script:
        "../scripts/compare_variants.py"


rule tabulate:
    """The comparisons at the primary measure as a table for a paper (CSV, and LaTeX with booktabs), and in a paragraph."""
    input:
        comparison="results/{study}/comparison.parquet",
    output:
        csv=report(
            "results/{study}/tables/main.csv",
            caption="../report/main.rst",
            category="Verdict",
            labels={"figure": "the main table"},
        ),
        tex="results/{study}/tables/main.tex",
        text="results/{study}/tables/main.txt",
    log:
        "results/{study}/logs/tabulate.log",
    benchmark:
        "results/{study}/benchmarks/tabulate.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg=lambda w: plain(
            {
                "model": STUDY.config["base_model"],
                "primary": STUDY.primary,
                "rules": STUDY.config["comparison"],
            }
        ),
        code=code("tabulate"),
    script:
        "../scripts/tabulate.py"
