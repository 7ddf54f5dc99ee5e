"""How often verdicts and intervals are wrong where the truth is known: simulated studies through the real comparison.

    python -m bench.calibration                 # every row of docs/statistics.md, an hour or more on two cores
    python -m bench.calibration --studies 200   # a look

Each study draws new queries (and training seeds) for base and variants, hands the values to `comparison.compare` and
counts what it says. Per-query values are reciprocal ranks at 10: discrete, with many equal values, correlated through
base, and skewed, since a tuned model's ranks spread more than base's. Expected values are exact, so the truth is known.
"""

import argparse
import gc
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq

from backfire.evaluation.comparison import CLAIMS, HELPERS, Design, Rules, compare
from backfire.evaluation.perquery import Scores, Store
from backfire.evaluation.significance.power import power
from backfire.evaluation.verdict import Verdict

PLACE = ("simulated", "test", "RR@10")
# Logarithm of a query's rank: its own difficulty, and what base and a tuned model add to it. RR@10 of base is 0.58, and
# four in ten queries keep their value, as after full fine-tuning in the default study.
DIFFICULTY, BETWEEN, OF_BASE, OF_TUNED = 0.8, 1.6, 0.6, 0.9


@dataclass(frozen=True)
class Truth:
    """What is simulated: `moved` is the share of queries that a variant can change, `effect` its true difference."""

    queries: int
    variants: int = 4
    effect: float = 0.0
    moved: float = 1.0
    seeds: int = 1
    between_seeds: float = 0.0
    """Standard deviation of a training seed's own gain, in the logarithm of the rank."""
    margin: float = 0.005


def expected(mean: float, spread: float) -> float:
    """Expected RR@10 where the logarithm of the rank is normal; ranks are rounded up."""
    below = [NormalDist(mean, spread).cdf(np.log(rank)) for rank in range(1, 11)]
    return sum((high - low) / rank for rank, (low, high) in enumerate(zip([0.0, *below], below, strict=False), start=1))


def gain_for(truth: Truth) -> float:
    """The gain in the logarithm of the rank that makes a variant better than base by `truth.effect` in expectation."""
    base = expected(DIFFICULTY, np.hypot(BETWEEN, OF_BASE))
    spread = np.sqrt(BETWEEN**2 + OF_TUNED**2 + truth.between_seeds**2)
    return brentq(lambda gain: truth.moved * (expected(DIFFICULTY - gain, spread) - base) - truth.effect, -2, 4)


def reciprocal_ranks(log_rank: np.ndarray) -> np.ndarray:
    """RR@10 of the ranks exp(`log_rank`), rounded up."""
    rank = np.ceil(np.exp(np.clip(log_rank, -1, 9)))
    return np.where(rank <= 10, 1 / rank, 0.0)


def draw(truth: Truth, gain: float, rng: np.random.Generator) -> Store:
    """Base and variants measured on new queries, and trained with new seeds."""
    names = [f"q{number:05d}" for number in range(truth.queries)]
    difficulty = rng.normal(DIFFICULTY, BETWEEN, truth.queries)
    base = reciprocal_ranks(difficulty + rng.normal(0, OF_BASE, truth.queries))
    scores = {"base": Scores([0], names, base[None, :])}
    shape = (truth.seeds, truth.queries)
    for number in range(truth.variants):
        own = rng.normal(0, truth.between_seeds, (truth.seeds, 1)) if truth.between_seeds else 0.0
        # What a variant does to a query is shared by its seeds but for a third of the variance.
        shared, rest = (
            rng.normal(0, OF_TUNED * np.sqrt(2 / 3), shape[1]),
            rng.normal(0, OF_TUNED * np.sqrt(1 / 3), shape),
        )
        tuned = reciprocal_ranks(difficulty - gain + own + shared + rest)
        keeps = rng.random(truth.queries) >= truth.moved
        scores[f"v{number}"] = Scores(list(range(truth.seeds)), names, np.where(keeps, base, tuned))
    return Store({PLACE: scores})


def outcomes(
    truth: Truth, gain: float, rules: Rules, numbers: range
) -> list[tuple[list[str], bool, int, float, float]]:
    """Of each study: verdicts of the claims, whether one that helps is called better than another that does, how many
    intervals hold the truth, mean variance of a difference, mean width."""
    names = [f"v{number}" for number in range(truth.variants)]
    design, found = Design(["base", *names], [PLACE[:2]], [PLACE[2]], PLACE, []), []
    for number in numbers:
        rng = np.random.default_rng([number, truth.queries, truth.seeds])
        rows = compare(draw(truth, gain, rng), design, replace(rules, seed=number))
        between = any(row["verdict"] == Verdict.HELPS for row in rows if row["family"] == HELPERS)
        rows = [row for row in rows if row["family"] == CLAIMS]
        covered = sum(row["ci_low"] <= truth.effect <= row["ci_high"] for row in rows)
        variances = [(row["delta"] / row["d_z"]) ** 2 if row["d_z"] else 0.0 for row in rows]
        width = np.mean([row["ci_high"] - row["ci_low"] for row in rows])
        found.append(([row["verdict"] for row in rows], between, covered, float(np.mean(variances)), float(width)))
    return found


@dataclass(frozen=True)
class Rates:
    """Shares over the simulated studies.

    `family` is that of studies with any HELPS or HARMS, `between` of those that call one variant that helps better than
    another, though all variants are equally good.
    """

    studies: int
    family: float
    between: float
    helps: float
    harms: float
    equivalent: float
    coverage: float
    predicted: float
    """Power predicted for HELPS from the variance that the studies measured, each variant one of as many claims."""


def simulate(truth: Truth, studies: int, workers: int, resamples: int = 1000, flips: int = 2000) -> Rates:
    """Run the studies; each is keyed by its number, so more of them only add."""
    margins = {"default": truth.margin}
    rules = Rules(0.05, resamples, flips, 0, 0.8, margins, [])
    run = partial(outcomes, truth, gain_for(truth), rules)
    blocks = [range(start, min(start + 25, studies)) for start in range(0, studies, 25)]
    with ProcessPoolExecutor(workers, initializer=gc.freeze) as pool:  # statsmodels collects garbage at every call
        found = [outcome for block in pool.map(run, blocks) for outcome in block]
    counts = Counter(verdict for verdicts, *_ in found for verdict in verdicts)
    claims = studies * truth.variants
    error = np.sqrt(np.mean([variance for *_, variance, _ in found]) / truth.queries)
    return Rates(
        studies,
        sum(bool({Verdict.HELPS, Verdict.HARMS} & set(verdicts)) for verdicts, *_ in found) / studies,
        sum(between for _, between, *_ in found) / studies,
        *(counts[verdict] / claims for verdict in (Verdict.HELPS, Verdict.HARMS, Verdict.EQUIVALENT)),
        sum(covered for _, _, covered, *_ in found) / claims,
        power(truth.effect, float(error), 0.05 / truth.variants, truth.margin) if truth.effect > 0 else float("nan"),
    )


ROWS = {
    "no effect": [Truth(queries) for queries in (50, 100, 200, 675, 2000)],
    "no effect, one query in ten can move": [Truth(queries, moved=0.1) for queries in (100, 300, 675, 2000)],
    "no effect, 3 seeds that differ": [Truth(queries, seeds=3, between_seeds=0.1) for queries in (200, 675)],
    "as large as the margin, one query in ten can move": [
        Truth(queries, effect=0.005, moved=0.1) for queries in (675, 2000, 6980)
    ],
    "effect 0.03, one variant": [Truth(queries, variants=1, effect=0.03) for queries in (200, 675, 2000)],
    "effect 0.03": [Truth(queries, effect=0.03) for queries in (200, 675, 2000)],
}
# A jackknife of n values is n^2 numbers, so large studies are fewer.
MOST_VALUES = 2_000_000


def lines(studies: int, workers: int) -> Iterator[str]:
    """The table of docs/statistics.md, a line at a time."""
    head = [
        "truth",
        "queries",
        "studies",
        "any false claim",
        "HELPS",
        "HARMS",
        "EQUIVALENT",
        "covers",
        "predicted HELPS",
    ]
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for name, truths in ROWS.items():
        for truth in truths:
            found = simulate(truth, min(studies, MOST_VALUES // truth.queries), workers)
            shares = [found.helps, found.harms, found.equivalent, found.coverage]
            false = f"{found.family:.1%}" if truth.effect == 0 else ""
            predicted = f"{found.predicted:.1%}" if truth.effect > truth.margin else ""
            numbers = [f"{truth.queries:,}", f"{found.studies:,}"]
            yield "| " + " | ".join([name, *numbers, false, *(f"{share:.1%}" for share in shares), predicted]) + " |"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description="Simulated studies, counted.")
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies of each row")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    settings = parser.parse_args()
    for line in lines(settings.studies, settings.workers):
        print(line, flush=True)


if __name__ == "__main__":
    main()
