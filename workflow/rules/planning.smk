"""Planning: what a study takes, before it takes it."""

from functools import cache

from snakemake.output_index import OutputIndex


localrules:
    plan_study,
    plan_download,


PLANNED = {
    "config": planned(STUDY.config, STUDY.ladder and STUDY.ladder.made),
    "downloads": DOWNLOADS,
    "base_sha256": STUDY.config["base_model_sha256"],
}
# Jobs of the whole study; listed once, when all rules are read and some job asks.
all_jobs = cache(lambda: list_jobs(workflow.get_rule("all"), OutputIndex(list(workflow.rules)).match_producers))
PLAN = {"text": f"results/{STUDY.name}/plan.txt", "data": f"results/{STUDY.name}/plan.json"}


rule plan_study:
    """The study's downloads, disk, jobs and hours are worked out from published counts and rates measured on this machine."""
    output:
        PLAN["data"],
    log:
        f"results/{STUDY.name}/logs/plan_study.log",
        # Logs stay when a job stops, and a study that finds no room wants its plan read.
        text=PLAN["text"],
    benchmark:
        f"results/{STUDY.name}/benchmarks/plan_study.tsv"
    conda:
        "../../envs/train.yaml"
    threads: ALL_THREADS
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=GPU,
    params:
        cfg=lambda w: plain(PLANNED | {"jobs": all_jobs()}),
        code=code("plan_study"),
    script:
        "../scripts/plan_study.py"


# Once a collection is there, no plan may run above it: whatever has to run masks, for the engine, the reasons of all
# that lies below it, and past an ancient() input those never come back. So this rule has no input, and parameters that
# take `input`, which are not compared.
rule plan_download:
    """Before a collection is downloaded its study is planned; a file system without room for the study stops it."""
    output:
        "data/{collection}/plan.json",
    log:
        "data/{collection}/logs/plan_download.log",
    benchmark:
        "data/{collection}/benchmarks/plan_download.tsv"
    # It takes the whole machine: before all that would keep it waiting, and downloads with it.
    priority: 10 * FIRST
    conda:
        "../../envs/train.yaml"
    threads: ALL_THREADS
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=GPU,
    params:
        cfg=lambda w, input: plain(PLANNED | PLAN | {"jobs": all_jobs()}),
        code=lambda w, input: code("plan_download"),
    script:
        "../scripts/plan_download.py"
