"""What the workflow costs before and besides its work: whole processes, `snakemake --version` and imports as peers.

The studies that are asked for are those of this checkout: a dry run of the default study, and, where its results are
complete, a run with nothing to do.
"""

import os
import subprocess
import sys
from pathlib import Path

from bench.pairs import Pair, pair

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
NO_WORK = "Nothing to be done"
# What a job of a model loads before its first batch, and what it would load with sentence-transformers.
OURS = "from backfire.encoders.encoder import load_encoder\nfrom backfire.encoders.folders import find_base\n"
OURS += "from bench.encoding import BASE\nload_encoder(find_base(BASE), 'fp32')"
PEER = "from sentence_transformers import SentenceTransformer\nfrom backfire.encoders.folders import find_base\n"
PEER += "from bench.encoding import BASE\nSentenceTransformer(str(find_base(BASE)), device='cpu')"


def process(command: list[str]) -> str:
    """Run a command to its end; gives what it printed."""
    path = os.pathsep.join([str(ROOT / "workflow/lib"), str(ROOT)])
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


def run(arguments) -> list[Pair]:
    """Rows of processes; ratios below 1 say how much more ours takes than the peer's bare start."""
    dry = process([*SNAKEMAKE, "--dry-run", "--quiet", "all"])
    what = "a run with nothing to do" if NO_WORK in dry else "a dry run of the default study"
    command = [*SNAKEMAKE, "--cores", "8"] if NO_WORK in dry else [*SNAKEMAKE, "--dry-run", "--quiet", "all"]
    started = [
        (what, command, "snakemake --version", [*SNAKEMAKE, "--version"]),
        ("load a model", [sys.executable, "-c", OURS], "SentenceTransformer", [sys.executable, "-c", PEER]),
    ]
    return [
        pair(
            name,
            ours=lambda command=command: process(command),
            peer=lambda other=other: process(other),
            peer_name=peer_name,
            rounds=arguments.rounds,
            work=1,
            unit="processes",
            agreement=lambda ours, theirs: "",
        )
        for name, command, peer_name, other in started
    ]
