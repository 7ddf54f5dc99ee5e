"""Settling: in which arithmetic the models of the study compute, measured once."""

# Of every job of a model, where the study leaves it to what is fast.
ARITHMETIC = ["results/{study}/arithmetic.json"] if STUDY.settles else []


rule settle_arithmetic:
    """Where `precision` is auto, fp32 and what else the device multiplies natively are timed on the base model, once for the study; another than fp32 is taken where it is faster by a clear margin."""
    input:
        model="results/{study}/models/base/seed-0",
    output:
        "results/{study}/arithmetic.json",
    log:
        "results/{study}/logs/settle_arithmetic.log",
    benchmark:
        "results/{study}/benchmarks/settle_arithmetic.tsv"
    conda:
        "../../envs/train.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("settle_arithmetic", "mem_mb"),
        runtime=asked("settle_arithmetic", "runtime"),
        gpu=GPU,
    params:
        cfg={"max_length": STUDY.config["encoding"]["max_length"]},
        # With `input`, so that it is not compared: what was settled for these results stays so.
        code=lambda w, input: code("settle_arithmetic"),
    script:
        "../scripts/settle_arithmetic.py"
