"""Planning: what a study takes, before it takes it."""


localrules:
    plan_study,


rule plan_study:
    """Before anything is downloaded, the study's downloads, disk, jobs and hours are worked out from published counts and rates measured on this machine; a file system without room for it stops the study."""
    input:
        model=f"results/{STUDY.name}/models/base/seed-0",
    output:
        # Of no study, so that another study of the same collections downloads nothing again.
        "data/plan.txt",
    log:
        f"results/{STUDY.name}/logs/plan_study.log",
        # Logs stay when a job stops, and a study that finds no room wants its plan read.
        text=f"results/{STUDY.name}/plan.txt",
        data=f"results/{STUDY.name}/plan.json",
    benchmark:
        f"results/{STUDY.name}/benchmarks/plan_study.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        cfg=lambda w: plain(
            {
                "config": planned(STUDY.config),
                "downloads": DOWNLOADS,
                "jobs": count_jobs(workflow.rules, "all"),
            }
        ),
        code=code("plan_study"),
    script:
        "../scripts/plan_study.py"
