"""Ours against what one would use instead, in one process run.

    python -m bench                     # every part
    python -m bench encoding            # one
    python -m bench encoding --rounds 5 --passages 4000 --json encoding.json
    python -m bench --gpu               # what a GPU computes; refused where there is none

Each part runs ours and its peer in turn on the same inputs. Prints Markdown: the ratio of times round by round, rates,
what the results agree on, growth of memory, and the share of the machine's own matrix product. Rows that this machine
cannot run are named with the reason. Run by hand on a quiet machine; nothing of it is a test. Growth with the size of a
collection is `python -m bench.scale`. BEIR is wanted too: `pip install -e ".[bench]" -c requirements.lock`.
"""

import argparse
import dataclasses
import importlib
import os

from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.jobs.logs import SLEEP_SOON, THREAD_VARIABLES
from bench.pairs import Pair, machine, matrix_peak, spread

PARTS = ["encoding", "search", "mining", "evaluation", "bm25", "training", "significance", "overhead"]
ON_GPU = ["encoding", "training", "search", "mining"]
# Passages by default: enough to keep a GPU at work.
PASSAGES, PASSAGES_ON_GPU = 2000, 20_000

HEAD = ["what", "instead of", "times as fast", "ours", "peer", "results", "memory, MiB", "FLOP/s"]


def line(cells: list[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def cells(each: Pair, peak: dict[str, float]) -> list[str]:
    """What is said of a pair, in the order of `HEAD`; `peak` are GFLOP/s of the machine's matrix product."""
    achieved = ""
    if each.flop:
        ours = each.flop / each.work * each.rate(each.ours) / 1e9
        # What is slower than fp32 is multiplied by nobody here.
        shares = {name: value for name, value in peak.items() if value >= peak["fp32"]}
        share = ", ".join(f"{ours / value:.0%} of {name}" for name, value in shares.items())
        achieved = f"{ours:,.0f} G ({share})"
    return [
        each.name,
        each.peer_name,
        spread(each.ratios),
        _speed(each, each.ours),
        _speed(each, each.peer),
        each.agreement,
        "{:,.0f} against {:,.0f}".format(*each.peak_mib)
        + ("; GPU {:,.0f} against {:,.0f}".format(*each.gpu_mib) if any(each.gpu_mib) else ""),
        achieved,
    ]


def _speed(each: Pair, seconds: list[float]) -> str:
    """Work in a second, or how long the only piece of it took."""
    return f"{each.rate(seconds):,.0f} {each.unit}/s" if each.work > 1 else f"{1 / each.rate(seconds):.2f} s"


def main() -> None:
    """Read the command line, run the parts, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ours against what one would use instead.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds of each pair")
    parser.add_argument("--gpu", action="store_true", help=f"only what a GPU computes: {', '.join(ON_GPU)}")
    parser.add_argument(
        "--passages",
        type=int,
        help=f"docstrings to encode, mine and evaluate in; {PASSAGES:,}, or {PASSAGES_ON_GPU:,} with --gpu",
    )
    parser.add_argument("--queries", type=int, default=500, help="queries to mine and evaluate with")
    parser.add_argument("--steps", type=int, default=8, help="training steps of a round")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the training that is compared")
    parser.add_argument("--only", default="", help="text in the names of the training rows to run")
    parser.add_argument("--threads", type=int, help="threads of every library; by default all there are")
    parser.add_argument("--json", help="file for the numbers")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    threads = arguments.threads or len(os.sched_getaffinity(0))
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    # As in a job. The peers keep what torch's threads do by default.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", SLEEP_SOON["OPENBLAS_THREAD_TIMEOUT"])
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    if arguments.gpu and not torch.cuda.is_available():
        parser.error(
            f"--gpu: torch {torch.__version__}, built for CUDA {torch.version.cuda or 'not at all'}, finds none"
        )
    arguments.passages = arguments.passages or (PASSAGES_ON_GPU if arguments.gpu else PASSAGES)
    peak = {name: matrix_peak(name) for name in ("fp32", "bf16", "fp16")}
    about = {"machine": machine(), "product": peak}
    print(about["machine"])
    print("Matrix product: " + ", ".join(f"{name} {value:,.0f} GFLOP/s" for name, value in peak.items()) + ".\n")
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", flush=True)
    pairs: list[Pair] = []
    skipped = [] if torch.cuda.is_available() else ["every row on a GPU: there is none"]
    for part in arguments.parts or (ON_GPU if arguments.gpu else PARTS):
        try:
            for found in importlib.import_module(f"bench.{part}").run(arguments):
                pairs.append(found)
                print(line(cells(found, peak)), flush=True)
                if arguments.json:
                    write_json(arguments.json, about | {"pairs": [dataclasses.asdict(each) for each in pairs]})
        except (ImportError, BackfireError) as error:
            skipped.append(f"{part}: {error}")
    for reason in skipped:
        print(f"Skipped: {reason}.")


if __name__ == "__main__":
    main()
