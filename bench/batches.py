"""Memory and time of one training step, for growing batches of long texts.

    python -m bench.batches --sizes 64 256 1024 --length 256

Each size is one step of the real MiniLM in fp32, in a process of its own: so many triplets of texts of `length` tokens
each, cut from docstrings, with the loss that asks for all of them. A batch that is too large to keep is embedded twice
(see `training/steps.py`); `--whole` keeps everything that its gradient needs, as one pass does. Prints a Markdown row a
size: peak resident memory before and after the step, and the seconds of the step.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

from backfire.encoders.folders import find_base
from backfire.jobs.resources import peak_resident
from bench.encoding import BASE
from bench.pairs import machine
from bench.questions import docstrings

SETTINGS = {
    "method": "full",
    "loss": {
        "name": "multiple_negatives_ranking",
        "scale": 20.0,
        "directions": ["query_to_doc"],
        "partition_mode": "joint",
    },
    "learning_rate": 2e-5,
    "schedule": "linear",
    "warmup_ratio": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "dropout": 0.0,
    "precision": "fp32",
}


def step(size: int, length: int, whole: bool) -> str:
    """A step of `size` triplets, measured in this process, as a row of the table."""
    import torch

    from backfire.training import steps
    from backfire.training.data import Examples
    from backfire.training.trainable import load_start

    if whole:
        steps.HELD_TOKENS = dict.fromkeys(steps.HELD_TOKENS, sys.maxsize)
    torch.set_flush_denormal(True)
    settings = SETTINGS | {"max_length": length, "batch_size": size}
    model = load_start(str(find_base(BASE)), settings, "base", 0, torch.device("cpu"))
    texts = list(docstrings().values())
    # Four docstrings on end are cut at the length, and no two begin alike.
    joined = [" ".join(texts[(7 * place + part) % len(texts)] for part in range(4)) for place in range(3 * size)]
    tokens = model.tokenizer.tokenize(joined, "document", length)
    rows = np.arange(3 * size, dtype=np.int32).reshape(3, size).T
    stepper = steps.Stepper(model, settings, 10, 0)
    before, begun = peak_resident(), time.perf_counter()
    found = stepper.step(Examples.of(tokens, np.ascontiguousarray(rows)), np.arange(size))
    seconds = time.perf_counter() - begun
    total = int(tokens.lengths.sum())
    cells = (f"{size:,}", f"{total:,}", f"{before:,.0f}", f"{peak_resident():,.0f}", f"{seconds:,.0f}")
    return f"| {' | '.join((*cells, f'{total / seconds:,.0f}', f'{found.loss:.4f}'))} |"


def main() -> None:
    """Read the command line, measure each size in a process of its own, print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description="Memory and time of a training step.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024], help="triplets of a batch")
    parser.add_argument("--length", type=int, default=256, help="tokens of each text")
    parser.add_argument("--whole", action="store_true", help="keep what the gradient needs of the whole batch")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(step(arguments.sizes[0], arguments.length, arguments.whole))
        return
    print(machine())
    head = ["triplets", "tokens", "MiB before", "MiB at most", "seconds", "tokens/s", "loss"]
    print(f"| {' | '.join(head)} |\n{'|---:' * len(head)}|")
    for size in arguments.sizes:
        command = [
            sys.executable,
            "-m",
            "bench.batches",
            "--here",
            "--sizes",
            str(size),
            "--length",
            str(arguments.length),
        ]
        command += ["--whole"] if arguments.whole else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout.strip() or f"| {size:,} | ended with {done.returncode} | | | | | |", flush=True)


if __name__ == "__main__":
    main()
