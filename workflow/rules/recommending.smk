"""Recommending: every system with its verdict and its cost, and which one to use."""


localrules:
    recommend,
    plot_recommendation,


rule recommend:
    """Of the variants that help, lose on no other query set and answer in time, those that no other is shown to be better than are left, and the least costly of these is recommended: by the time to set it up, then for a query, then the size of its indexes, where one takes more than twice as much; base where none is left."""
    input:
        comparison="results/{study}/comparison.parquet",
        cost="results/{study}/cost.parquet",
        manifest=f"data/{STUDY.primary[0]}/corpus/manifest.json",
        # How large they are.
        indexes=per_shard(
            per_run(
                "results/{study}/index/{variant}/seed-{seed}/{collection}/{shard}-of-{shards}.faiss",
                [run for run in STUDY.first_runs if run in STUDY.encoding_runs],
            ),
            STUDY.primary[0],
        ),
        best=expand("results/{study}/best/{choice}.json", choice=STUDY.choosing.values(), allow_missing=True),
    output:
        parquet="results/{study}/recommendation.parquet",
        csv=report(
            "results/{study}/recommendation.csv",
            caption="../report/recommendation.rst",
            category="Verdict",
            labels={"figure": "all systems with their costs"},
        ),
    log:
        "results/{study}/logs/recommend.log",
    benchmark:
        "results/{study}/benchmarks/recommend.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        cfg=plain(
            {
                "primary": STUDY.primary,
                "query_time": STUDY.config["recommendation"]["query_time"],
                "systems": STUDY.made_of,
                "takers": [*STUDY.choosing],
            }
        ),
        code=code("recommend"),
    script:
        "../scripts/recommend.py"


rule plot_recommendation:
    """What each system gains is drawn against what it takes to set up and for a query, with those on the Pareto front joined."""
    input:
        "results/{study}/recommendation.parquet",
    output:
        svg=report(
            "results/{study}/figures/recommendation.svg",
            caption="../report/recommendation.rst",
            category="Verdict",
            labels={"figure": "gain against cost"},
        ),
        png="results/{study}/figures/recommendation.png",
    log:
        "results/{study}/logs/plot_recommendation.log",
    benchmark:
        "results/{study}/benchmarks/plot_recommendation.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={"alpha": STUDY.config["comparison"]["alpha"], "primary": list(STUDY.primary), "variants": STUDY.compared},
        code=code("plot_recommendation"),
    script:
        "../scripts/plot_recommendation.py"
