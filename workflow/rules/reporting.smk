"""Reporting: figures, and one page that says what to do."""


localrules:
    plot_dynamics,
    plot_projection,
    plot_effects,
    plot_queries,
    plot_cost,
    plot_ladder,
    plot_doses,
    write_report,
    check_results,


from backfire.provenance.fingerprints import installed_versions

FIGURES = ["dynamics", "projection", "effects", "queries", "cost", "recommendation"]
FIGURES += [*(["ladder"] if STUDY.ladder else []), *(["doses"] if STUDY.doses else [])]
PACKAGES = [
    "backfire",
    "snakemake",
    "torch",
    "transformers",
    "sentence-transformers",
    "peft",
    "faiss-cpu",
    "bm25s",
    "ir_datasets",
    "ir_measures",
    "umap-learn",
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
]


rule plot_dynamics:
    """Training curves of all trained variants are drawn, a line per seed."""
    input:
        tables=per_run("results/{study}/dynamics/{variant}/seed-{seed}.parquet", STUDY.trained_runs),
        layers=per_run("results/{study}/dynamics/{variant}/seed-{seed}.layers.parquet", STUDY.trained_runs),
    output:
        svg=report(
            "results/{study}/figures/dynamics.svg",
            caption="../report/dynamics.rst",
            category="Explanations",
            labels={"figure": "training curves"},
        ),
        png="results/{study}/figures/dynamics.png",
    log:
        "results/{study}/logs/plot_dynamics.log",
    benchmark:
        "results/{study}/benchmarks/plot_dynamics.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={
            "runs": [list(run) for run in STUDY.trained_runs],
            "tested": STUDY.config["dynamics"]["measures"][0],
            "variants": STUDY.compared,
        },
        code=code("plot_dynamics"),
    script:
        "../scripts/plot_dynamics.py"


rule plot_projection:
    """Every variant gets a panel of the shared map."""
    input:
        table="results/{study}/projection.parquet",
    output:
        svg=report(
            "results/{study}/figures/projection.svg",
            caption="../report/projection.rst",
            category="Explanations",
            labels={"figure": "maps of the embedding space"},
        ),
        png="results/{study}/figures/projection.png",
    log:
        "results/{study}/logs/plot_projection.log",
    benchmark:
        "results/{study}/benchmarks/plot_projection.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={
            "maps": {name: STUDY.space(name) for name in STUDY.compared if name in STUDY.embedded},
            "variants": STUDY.compared,
        },
        code=code("plot_projection"),
    script:
        "../scripts/plot_projection.py"


rule plot_effects:
    """Differences from base at the primary measure are drawn with their intervals."""
    input:
        comparison="results/{study}/comparison.parquet",
    output:
        svg=report(
            "results/{study}/figures/effects.svg",
            caption="../report/effects.rst",
            category="Verdict",
            labels={"figure": "effects"},
        ),
        png="results/{study}/figures/effects.png",
    log:
        "results/{study}/logs/plot_effects.log",
    benchmark:
        "results/{study}/benchmarks/plot_effects.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={
            "alpha": STUDY.config["comparison"]["alpha"],
            "primary": list(STUDY.primary),
            "variants": STUDY.compared,
        },
        code=code("plot_effects"),
    script:
        "../scripts/plot_effects.py"


rule plot_queries:
    """Each query's value under a variant is drawn against its value under base."""
    input:
        measures="results/{study}/measures.parquet",
    output:
        svg=report(
            "results/{study}/figures/queries.svg",
            caption="../report/queries.rst",
            category="Explanations",
            labels={"figure": "query by query"},
        ),
        png="results/{study}/figures/queries.png",
    log:
        "results/{study}/logs/plot_queries.log",
    benchmark:
        "results/{study}/benchmarks/plot_queries.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={"models": [list(run) for run in STUDY.first_runs], "primary": list(STUDY.primary)},
        code=code("plot_queries"),
    script:
        "../scripts/plot_queries.py"


rule plot_cost:
    """What each variant takes to train and to serve is drawn as bars, the mean of its seeds."""
    input:
        table="results/{study}/cost.parquet",
    output:
        svg=report(
            "results/{study}/figures/cost.svg",
            caption="../report/cost.rst",
            category="Cost",
            labels={"figure": "cost"},
        ),
        png="results/{study}/figures/cost.png",
    log:
        "results/{study}/logs/plot_cost.log",
    benchmark:
        "results/{study}/benchmarks/plot_cost.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={"variants": STUDY.compared},
        code=code("plot_cost"),
    script:
        "../scripts/plot_cost.py"


rule plot_ladder:
    """What each part of the recipe is worth is drawn from one recipe to the other, with intervals."""
    input:
        ladder="results/{study}/ladder.parquet",
    output:
        svg=report(
            "results/{study}/figures/ladder.svg",
            caption="../report/ladder.rst",
            category="Explanations",
            labels={"figure": "what each part of the recipe is worth"},
        ),
        png="results/{study}/figures/ladder.png",
    log:
        "results/{study}/logs/plot_ladder.log",
    benchmark:
        "results/{study}/benchmarks/plot_ladder.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg=lambda w: {
            "alpha": STUDY.config["comparison"]["alpha"],
            "ends": [STUDY.ladder.start, STUDY.ladder.end],
            "primary": list(STUDY.primary),
        },
        code=code("plot_ladder"),
    script:
        "../scripts/plot_ladder.py"


rule plot_doses:
    """Effectiveness is drawn by the share of labels that are wrong, with the line through it."""
    input:
        "results/{study}/doses.parquet",
    output:
        svg=report(
            "results/{study}/figures/doses.svg",
            caption="../report/doses.rst",
            category="Explanations",
            labels={"figure": "what wrong labels cost"},
        ),
        png="results/{study}/figures/doses.png",
    log:
        "results/{study}/logs/plot_doses.log",
    benchmark:
        "results/{study}/benchmarks/plot_doses.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg={"primary": list(STUDY.primary), "variants": STUDY.compared},
        code=code("plot_doses"),
    script:
        "../scripts/plot_doses.py"


rule write_report:
    """One self-contained page gives the verdicts, what to do, all results and every setting; the answer alone stands in a text beside it."""
    input:
        comparison="results/{study}/comparison.parquet",
        ties="results/{study}/ties.parquet",
        geometry="results/{study}/geometry.parquet",
        cost="results/{study}/cost.parquet",
        moved="results/{study}/moved.parquet",
        strata="results/{study}/strata.parquet",
        replaced="results/{study}/replaced.parquet",
        maps="results/{study}/maps.parquet",
        dynamics=per_run("results/{study}/dynamics/{variant}/seed-{seed}.parquet", STUDY.trained_runs),
        layers=per_run("results/{study}/dynamics/{variant}/seed-{seed}.layers.parquet", STUDY.trained_runs),
        manifests=expand("data/{collection}/manifest.json", collection=STUDY.collections),
        # What the filters dropped.
        samples=expand(
            "results/{study}/triples/{triples}/seed-{seed}.json",
            triples=STUDY.counted,
            seed=STUDY.seeds,
            allow_missing=True,
        ),
        # By which path each was run.
        models=per_run("results/{study}/models/{variant}/seed-{seed}", STUDY.embedded_runs),
        svg=expand("results/{study}/figures/{figure}.svg", figure=FIGURES, allow_missing=True),
        png=expand("results/{study}/figures/{figure}.png", figure=FIGURES, allow_missing=True),
        selection=["results/{study}/selection.parquet"] if STUDY.selections else [],
        protocol=["results/{study}/protocol.parquet"] if STUDY.config["protocol"] else [],
        ladder=["results/{study}/ladder.parquet"] if STUDY.ladder else [],
        forensics=["results/{study}/forensics.parquet", "results/{study}/filter_curves.parquet"] if STUDY.used else [],
        doses=["results/{study}/doses.parquet"] if STUDY.doses else [],
        missing_labels=["results/{study}/missing_labels.parquet"] if STUDY.judge else [],
        forecast="results/{study}/forecast.json",
        recommendation="results/{study}/recommendation.parquet",
        best=expand("results/{study}/best/{choice}.json", choice=sorted({*STUDY.choosing.values()}), allow_missing=True),
        arithmetic=ARITHMETIC,
        # Relative, so that a copy of the folder elsewhere finds its results up to date.
        expected=os.path.relpath(ROOT / "studies/expected.yaml"),
        template=os.path.relpath(ROOT / "workflow/report/report.html.j2"),
        captions=[os.path.relpath(ROOT / f"workflow/report/{figure}.rst") for figure in FIGURES],
        css=os.path.relpath(ROOT / "workflow/report/style.css"),
    output:
        report(
            "results/{study}/report.html",
            caption="../report/report.rst",
            category="Verdict",
            labels={"figure": "the report"},
        ),
        # Printed where a run ends.
        answer="results/{study}/answer.txt",
    log:
        "results/{study}/logs/write_report.log",
    benchmark:
        "results/{study}/benchmarks/write_report.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg=plain(
            {
                "collections": list(STUDY.collections),
                "command": "snakemake --cores 8",
                "config": STUDY.config,
                "figures": FIGURES,
                "models": [list(run) for run in STUDY.embedded_runs],
                "runs": [list(run) for run in STUDY.trained_runs],
                "variants": STUDY.compared,
                "versions": installed_versions(PACKAGES),
            }
        ),
        code=code("write_report"),
    script:
        "../scripts/write_report.py"


rule check_results:
    """The finished tables and the page are held to what a reader relies on: nothing is empty that must not be, counts add up, intervals hold their means, what was chosen is the best, every trained model differs from its start, and every section of the page has content."""
    input:
        measures="results/{study}/measures.parquet",
        ties="results/{study}/ties.parquet",
        comparison="results/{study}/comparison.parquet",
        csv="results/{study}/comparison.csv",
        main="results/{study}/tables/main.csv",
        geometry="results/{study}/geometry.parquet",
        cost="results/{study}/cost.parquet",
        moved="results/{study}/moved.parquet",
        strata="results/{study}/strata.parquet",
        replaced="results/{study}/replaced.parquet",
        exchanges="results/{study}/exchanges.parquet",
        projection="results/{study}/projection.parquet",
        maps="results/{study}/maps.parquet",
        recommendation="results/{study}/recommendation.parquet",
        selection=["results/{study}/selection.parquet"] if STUDY.selections else [],
        protocol=["results/{study}/protocol.parquet"] if STUDY.config["protocol"] else [],
        ladder=["results/{study}/ladder.parquet"] if STUDY.ladder else [],
        forensics=["results/{study}/forensics.parquet"] if STUDY.used else [],
        filter_curves=["results/{study}/filter_curves.parquet"] if STUDY.used else [],
        doses=["results/{study}/doses.parquet"] if STUDY.doses else [],
        missing_labels=["results/{study}/missing_labels.parquet"] if STUDY.judge else [],
        opinions=["results/{study}/opinions.parquet"] if STUDY.judge else [],
        dynamics=per_run("results/{study}/dynamics/{variant}/seed-{seed}.parquet", STUDY.trained_runs),
        layers=per_run("results/{study}/dynamics/{variant}/seed-{seed}.layers.parquet", STUDY.trained_runs),
        models=per_run("results/{study}/models/{variant}/seed-{seed}", STUDY.embedded_runs),
        manifests=expand("data/{collection}/manifest.json", collection=STUDY.collections),
        page="results/{study}/report.html",
    output:
        "results/{study}/checks.json",
    log:
        "results/{study}/logs/check_results.log",
    benchmark:
        "results/{study}/benchmarks/check_results.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cfg=plain(
            {
                "collections": list(STUDY.collections),
                "config": STUDY.config,
                "models": [list(run) for run in STUDY.embedded_runs],
                "trained": [list(run) for run in STUDY.trained_runs],
            }
        ),
        code=code("check_results"),
    script:
        "../scripts/check_results.py"
