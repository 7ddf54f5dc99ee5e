"""Peak memory and time of every job, for growing collections at a fixed shard size.

    python -m bench.scale --passages 125000 1000000 --shards-of 62500 --work /tmp/scale

For each size: a synthetic collection (see `bench.synthetic`), then the real workflow from data to a ranking for the
base alone, on a static-embedding model, so that the machinery is measured and not a transformer: export, BM25 and hard
candidates, random, BM25 and hard triples, embeddings, indexes, a run. Memory and time are those in the jobs' own logs;
on a machine that others use too, processor time says more than the clock. Prints Markdown tables; `scale.json` in the
work folder holds the numbers. A size that is there already is not run again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import yaml

from backfire.encoders.folders import find_base
from backfire.formats.atomic import read_json, write_json
from backfire.jobs.logs import job_usage
from bench.synthetic import BASE, write_collection, write_static_model

ROOT = Path(__file__).resolve().parents[1]
STUDY, COLLECTION = "scale", "synthetic"
# Rows of the tables in the order of the work; any other rule follows.
ORDER = ["export_corpus", "export_queries", "describe_collection", "prepare_base", "encode_corpus", "encode_queries"]
ORDER += ["index_shard", "count_terms", "mine_bm25", "mine_hard", "merge_candidates", "sample_triples", "rank"]


def overlay(collection: Path, model: Path, shards: int, depth: int, triples: int) -> dict:
    """A study of base alone on the collection in a folder, with triples from every source."""
    mined = {"depth": depth, "size": triples}
    return {
        "study": STUDY,
        "base_model": str(model),
        "collections": {
            "pydocs": None,
            COLLECTION: {"corpus": str(collection), "train": "train", "splits": {"dev": "dev", "test": "test"}},
        },
        "train_on": COLLECTION,
        "primary": {"collection": COLLECTION, "split": "test", "measure": "RR@10"},
        "triples": {
            "random": {"negatives": "random", "size": triples},
            "bm25": {"negatives": "bm25", **mined},
            "hard": {"negatives": "hard", **mined},
        },
        "variants": dict.fromkeys(("full_bm25", "full_hard", "lora_bm25", "lora_hard")),
        "encoding": {"shards": shards, "max_length": 256},
        "ranking": {"depth": 1000},
    }


def targets() -> list[str]:
    """What is asked of the workflow: triples of every source, a run with its measures, and the data's description."""
    triples = [f"results/{STUDY}/triples/{source}/seed-0.parquet" for source in ("random", "bm25", "hard")]
    return [
        f"data/{COLLECTION}/manifest.json",
        *triples,
        f"results/{STUDY}/runs/base/seed-0/{COLLECTION}/test.trec",
        f"results/{STUDY}/measures.parquet",
        f"results/{STUDY}/geometry.parquet",
    ]


def run(work: Path, passages: int, shards: int, queries: dict[str, int], depth: int, cores: int) -> dict:
    """Generate a collection of this size, run the workflow on it, and give what was measured."""
    base, folder = find_base(BASE), work / f"{passages}-{shards}"
    begun = time.perf_counter()
    if not (folder / "collection").is_dir():
        write_collection(folder / "collection", base / "tokenizer.json", passages, 0, queries)
        write_static_model(base, folder / "model")
    generated = time.perf_counter() - begun
    settings = overlay(folder / "collection", folder / "model", shards, depth, queries["train"])
    (folder / "scale.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--directory", str(folder), "--notemp"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(folder / "scale.yaml"), "--", *targets()]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return {
        "passages": passages,
        "shards": shards,
        "queries": queries,
        "depth": depth,
        "seconds_to_generate": generated,
        "seconds_of_the_run": time.perf_counter() - begun,
        "rules": used(folder),
        "disk": disk(folder),
    }


def used(folder: Path) -> dict[str, dict[str, float]]:
    """Jobs, peak memory of the largest in MiB, and seconds in all, of every rule that left a log under `folder`."""
    jobs = defaultdict(list)
    for logs in (folder / "data" / COLLECTION / "logs", folder / "results" / STUDY / "logs"):
        for log in sorted(logs.rglob("*.log")):
            usage = job_usage(log)
            if usage is not None:
                jobs[log.relative_to(logs).parts[0].removesuffix(".log")].append(usage)
    return {
        rule: {
            "jobs": len(usages),
            "peak_mib": max(usage.peak_mib for usage in usages),
            "seconds": sum(usage.seconds for usage in usages),
            "processor_seconds": sum(usage.processor_seconds for usage in usages),
        }
        for rule, usages in jobs.items()
    }


def disk(folder: Path) -> dict[str, float]:
    """MiB on disk of the source and of every stage's results."""
    results = folder / "results" / STUDY
    places = {
        "source (JSON lines)": folder / "collection",
        "passages (Parquet)": folder / "data" / COLLECTION,
        "embeddings": results / "embeddings",
        "indexes": results / "index",
        "candidates of parts (temporary)": results / "negatives" / "parts",
        "candidates": results / "negatives",
        "triples": results / "triples",
        "runs": results / "runs",
    }
    sizes = {name: _mib(place) for name, place in places.items()}
    sizes["candidates"] -= sizes["candidates of parts (temporary)"]
    return sizes


def _mib(place: Path) -> float:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 2**20


def markdown(measured: list[dict]) -> str:
    """Tables of jobs and peak memory, of seconds, and of disk; a column for each size."""
    sizes = [f"{each['passages']:,}" for each in measured]
    rules = list(measured[-1]["rules"])
    rules.sort(key=lambda rule: (ORDER.index(rule) if rule in ORDER else len(ORDER), rule))

    def table(first: str, names: list[str], cell) -> str:
        head = ["| " + " | ".join([first, *sizes]) + " |", "|---" + "|---:" * len(sizes) + "|"]
        return "\n".join(
            head + ["| " + " | ".join([name, *(cell(each, name) for each in measured)]) + " |" for name in names]
        )

    def of_rule(form: str):
        return lambda each, name: form.format(**each["rules"][name]) if name in each["rules"] else ""

    largest = max(max(rule["peak_mib"] for rule in each["rules"].values()) for each in measured)
    return "\n\n".join(
        [
            "Peak resident memory of the largest job in MiB (number of jobs):",
            table("rule", rules, of_rule("{peak_mib:.0f} ({jobs})")),
            f"The largest of all: {largest:.0f} MiB.",
            "Processor seconds of all jobs of a rule together, all threads counted:",
            table("rule", rules, of_rule("{processor_seconds:.0f}")),
            "Seconds by the clock of all jobs of a rule together:",
            table("rule", rules, of_rule("{seconds:.0f}")),
            "Whole runs, seconds by the clock: "
            + "; ".join(f"{size} {each['seconds_of_the_run']:.0f}" for size, each in zip(sizes, measured, strict=True)),
            "Disk in MiB:",
            table("stage", list(measured[-1]["disk"]), lambda each, name: f"{each['disk'][name]:.1f}"),
        ]
    )


def main() -> None:
    """Read the command line, measure every size, print tables."""
    parser = argparse.ArgumentParser(description="Peak memory and time of every job, for growing collections.")
    parser.add_argument("--passages", type=int, nargs="+", required=True)
    parser.add_argument("--shards-of", type=int, default=62_500, help="passages in a shard, at most")
    parser.add_argument("--train", type=int, default=20_000, help="training queries at every size")
    parser.add_argument("--test", type=int, default=2_000, help="queries ranked at every size")
    parser.add_argument("--depth", type=int, default=200, help="of the candidate lists; runs are 1,000 deep")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True, help="folder for everything; a size that is there is kept")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    queries = {"train": arguments.train, "dev": 200, "test": arguments.test}
    measured = []
    for passages in arguments.passages:
        shards = -(-passages // arguments.shards_of)
        result = work / f"{passages}-{shards}" / "scale.json"
        if not result.is_file():
            write_json(result, run(work, passages, shards, queries, arguments.depth, arguments.cores))
        measured.append(read_json(result))
        print(json.dumps(measured[-1]["rules"]), file=sys.stderr)
    write_json(work / "scale.json", measured)
    print(markdown(measured))


if __name__ == "__main__":
    main()
