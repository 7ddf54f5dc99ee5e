"""Effect of each variant by query length, by overlap with the answer, and by where base ranked it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backfire.evaluation.significance.families import benjamini_hochberg
from backfire.evaluation.significance.intervals import bootstrap_interval
from backfire.explaining.queries.answers import Answers, Found
from backfire.explaining.queries.factors import overlap, thirds, words
from backfire.explaining.queries.interaction import rank_dependence
from backfire.explaining.queries.paired import Paired
from backfire.keyed import keyed_rng

LENGTH, OVERLAP, BASE_RANK = "length", "overlap", "base_rank"


@dataclass(frozen=True)
class Factor:
    """A property of queries: its value for each of them, and the stratum that each belongs to."""

    name: str
    values: np.ndarray
    """NaN for a query without one; for base's rank, below the depth of the run."""
    strata: list[tuple[str, np.ndarray]]
    """(label, mask over the queries), in order; they do not overlap, and none is empty."""


def factors_of(
    paired: Paired, answers: Answers, base: Found, queries: Mapping[str, str], passages: Mapping[str, str], depth: int
) -> list[Factor]:
    """The three factors; `queries` and `passages` hold texts by id, `depth` is that of the runs."""
    length = np.array([len(words(queries[query_id])) for query_id in paired.queries], dtype=float)
    shared = np.array(
        [
            overlap(queries[query_id], (passages[doc_id] for doc_id in answers.get(query_id, ())))
            for query_id in paired.queries
        ]
    )
    rank = np.array([base.rank(query_id) or np.nan for query_id in paired.queries], dtype=float)
    return [
        Factor(LENGTH, length, _by_thirds(length, lambda low, high: _span(f"{low:.0f}", f"{high:.0f}", " word"))),
        Factor(
            OVERLAP, shared, _by_thirds(shared, lambda low, high: f"{_span(f'{100 * low:.0f}', f'{100 * high:.0f}')} %")
        ),
        Factor(BASE_RANK, rank, _by_rank(rank, depth)),
    ]


def strata(paired: Paired, factors: Sequence[Factor], alpha: float, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the table `strata`: for each trained variant and factor the mean difference from base in each stratum.

    A difference is that of a query's mean over seeds; its interval is a BCa bootstrap interval at confidence
    1 - `alpha`, of one stratum and not adjusted, None for a single query. `rho`, `p` and `p_adjusted` are those of
    `dependences`. Draws are keyed by (seed, variant, factor).
    """
    tests = dependences(paired, factors, resamples, seed)
    rows = []
    for variant in paired.seeds:
        differences = paired.difference(variant)
        for factor in factors:
            for place, (label, chosen) in enumerate(factor.strata, start=1):
                within, part = factor.values[chosen], differences[chosen]
                known = bool(np.isfinite(within).all())
                rng = keyed_rng("stratum", seed, variant, factor.name, place)
                low, high = bootstrap_interval(part, 1 - alpha, resamples, rng) or (None, None)
                row = {
                    "variant": variant,
                    "factor": factor.name,
                    "stratum": label,
                    "place": place,
                    "low": float(within.min()) if known else None,
                    "high": float(within.max()) if known else None,
                    "queries": len(part),
                    "delta": float(part.mean()),
                    "ci_low": low,
                    "ci_high": high,
                }
                rows.append(row | tests[variant, factor.name])
    return rows


def dependences(
    paired: Paired, factors: Sequence[Factor], resamples: int, seed: int
) -> dict[tuple[str, str], dict[str, float | None]]:
    """Does the effect of a variant depend on a factor? {(variant, factor): {"rho", "p", "p_adjusted"}}.

    `rho` is the rank correlation of the factor with the difference from base, tested by permutation (see
    `interaction`); queries without the factor are left out. A positive `rho` says that queries with high values gain
    more, or lose less.

    By base's rank nothing is tested: a query that base answers best can only fall, and one that it misses can only
    rise. So the difference goes with base's value whatever a variant does, and even Oldham's correlation with the mean
    of the two, which allows for regression to the mean, takes the ceiling for an effect: where a variant moves all
    queries alike, it says so of most studies.

    `p_adjusted` controls the false-discovery rate over all variants and factors that have a p-value; None where there
    is no test, or one side is constant.
    """
    found = {}
    for variant in paired.seeds:
        for factor in factors:
            found[variant, factor.name] = None
            if factor.name != BASE_RANK:
                known = np.isfinite(factor.values)
                values, effect = factor.values[known], paired.difference(variant)[known]
                rng = keyed_rng("interaction", seed, variant, factor.name)
                found[variant, factor.name] = rank_dependence(values, effect, resamples, rng)
    tested = {key: test for key, test in found.items() if test is not None}
    adjusted = dict(zip(tested, benjamini_hochberg([p for _, p in tested.values()]), strict=True))
    return {
        key: dict(zip(("rho", "p", "p_adjusted"), (*(test or (None, None)), adjusted.get(key)), strict=True))
        for key, test in found.items()
    }


def _by_thirds(values: np.ndarray, label) -> list[tuple[str, np.ndarray]]:
    third = thirds(values)
    masks = [third == number for number in range(3)]
    return [(label(values[mask].min(), values[mask].max()), mask) for mask in masks if mask.any()]


def _by_rank(rank: np.ndarray, depth: int) -> list[tuple[str, np.ndarray]]:
    middle = min(10, depth)
    strata = [
        ("rank 1", rank == 1),
        (f"ranks {_span('2', str(middle))}", (rank > 1) & (rank <= middle)),
        (f"ranks {_span(str(middle + 1), str(depth))}", rank > middle),
        ("not found", np.isnan(rank)),
    ]
    return [(label, mask) for label, mask in strata if mask.any()]


def _span(low: str, high: str, unit: str = "") -> str:
    """`1-6 words`, `1 word`, `2-10`."""
    text = low if low == high else f"{low}-{high}"
    return text + unit + ("s" if unit and text != "1" else "")
