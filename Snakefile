"""Backfire: will fine-tuning this retriever help or backfire, why, and what to do instead?"""

from snakemake.utils import min_version

min_version("9.27")


configfile: str(workflow.current_basedir.join("config.yaml"))


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


if os.getenv("BACKFIRE_IMAGE"):

    # Used with --software-deployment-method apptainer only; envs/backfire.def makes it.
    container: os.getenv("BACKFIRE_IMAGE")


include: "workflow/rules/batches.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/planning.smk"
include: "workflow/rules/settling.smk"
include: "workflow/rules/negatives.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/ranking.smk"
include: "workflow/rules/measuring.smk"
include: "workflow/rules/choosing.smk"
include: "workflow/rules/protocol.smk"
include: "workflow/rules/explaining.smk"
include: "workflow/rules/attributing.smk"
include: "workflow/rules/recommending.smk"
include: "workflow/rules/forecasting.smk"
include: "workflow/rules/reporting.smk"


onstart:
    # What takes longer than a dry run should: wrong base weights, say, stop the run before anything is computed.
    check_before(thoroughly=True)


onsuccess:
    answer = Path(f"results/{STUDY.name}/answer.txt")
    if workflow.is_main_process and answer.is_file() and any(job.rule.name == "all" for job in workflow.dag.jobs):
        print(f"\n{answer.read_text(encoding='utf-8')}", file=sys.stderr)


onerror:
    for found in of_signals(log):
        print(f"\nError: {found}", file=sys.stderr)


rule all:
    default_target: True
    input:
        expand("data/{collection}/manifest.json", collection=STUDY.collections),
        expand(
            [
                "results/{study}/measures.parquet",
                "results/{study}/comparison.parquet",
                "results/{study}/geometry.parquet",
                "results/{study}/cost.parquet",
                "results/{study}/tables/main.csv",
                "results/{study}/report.html",
                "results/{study}/checks.json",
            ],
            study=STUDY.name,
        ),
