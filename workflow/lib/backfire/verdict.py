"""What a comparison says: does fine-tuning help, does it backfire, does it change nothing that matters?"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The outcome of one comparison; BASE marks the rows of the base itself."""

    HELPS = "HELPS"
    HARMS = "HARMS"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"
    BASE = "BASE"


class Retention(StrEnum):
    """What a variant does to text that it was not trained on."""

    FORGETS = "forgets"
    KEEPS = "keeps"
    OPEN = "open"


def verdict(
    delta: float,
    interval: tuple[float, float] | None,
    p_adjusted: float,
    p_equivalence: float | None,
    margin: float,
    alpha: float,
) -> Verdict:
    """The rule.

    1. HELPS and HARMS need an adjusted p below `alpha`,
    2. a mean difference `delta` of at least `margin`, upwards or downwards,
    3. and an interval on that side of 0, which with several seeds covers seeds as well as queries.
    4. EQUIVALENT needs an adjusted p of the two one-sided tests against `margin` below `alpha`.
    5. Everything else is INCONCLUSIVE, which does not mean equal.

    `interval` and `p_equivalence` are None where they are not defined: a single query, too few queries.
    """
    if interval is not None and p_adjusted < alpha and abs(delta) >= margin:
        if interval[0] > 0:
            return Verdict.HELPS
        if interval[1] < 0:
            return Verdict.HARMS
    if p_equivalence is not None and p_equivalence < alpha:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE


def retention(found: Verdict) -> Retention:
    """The verdict on text that was not trained on, as forgetting: no loss that matters is `keeps`."""
    return {Verdict.HARMS: Retention.FORGETS, Verdict.INCONCLUSIVE: Retention.OPEN}.get(found, Retention.KEEPS)


def sentence(row: Mapping[str, Any], alpha: float = 0.05) -> str:
    """A row of the table `comparison` in plain words, with the numbers that the verdict rests on."""
    variant, measure, reference = row["variant"], row["measure"], row["reference"]
    queries = f"{row['queries']:,} {'query' if row['queries'] == 1 else 'queries'}"
    if row["verdict"] == Verdict.BASE:
        return f"{variant}: {measure} {row['mean']:.3f} over {queries}."
    margin = f"{row['margin']:g}"
    claim = {
        Verdict.HELPS: "helps" if reference == "base" else f"is better than {reference}",
        Verdict.HARMS: "backfires" if reference == "base" else f"is worse than {reference}",
        Verdict.EQUIVALENT: f"is equivalent to {reference} within {margin}",
        Verdict.INCONCLUSIVE: f"cannot be told apart from {reference}",
    }[Verdict(row["verdict"])]
    if row["verdict"] == Verdict.INCONCLUSIVE and row["p_adjusted"] < alpha:
        claim = f"differs from {reference}, but perhaps by less than the {margin} that would matter"
    interval = "no interval"
    if row["ci_low"] is not None:
        interval = f"{100 * (1 - alpha):g} % interval {row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
    seeds = "one training seed: query sampling only" if row["seeds"] == 1 else f"{row['seeds']} training seeds"
    p = f"adjusted p {p_value(row['p_adjusted'])}"
    if row["verdict"] == Verdict.EQUIVALENT:
        p = f"equivalence p {p_value(row['p_equivalence_adjusted'])}"
    return (
        f"{variant} {claim}: {measure} {row['mean']:.3f} against {row['reference_mean']:.3f} for {reference} "
        f"({row['delta']:+.3f}, {interval}, {p}; {queries}, {seeds}).{_takes(row)}"
    )


def _takes(row: Mapping[str, Any]) -> str:
    """What would settle an inconclusive comparison; nothing for another."""
    if row["verdict"] != Verdict.INCONCLUSIVE:
        return ""
    queries, seeds = row["queries_needed"], row["seeds_needed"]
    if queries is None:
        return " No number of queries that one could gather tells no difference from twice the margin."
    more = [f"{queries:,} queries"] if queries > row["queries"] else []
    if seeds is not None and seeds > row["seeds"]:
        more.append(f"{seeds} seeds")
    if not more:
        return " The queries and seeds tell no difference from twice the margin; this one lies in between."
    return f" About {' and '.join(more)} would tell no difference from twice the margin."


def p_value(p: float) -> str:
    """Two digits, never an exponent and never a bare zero."""
    return "< 0.0001" if p < 0.0001 else f"{float(f'{p:.2g}'):.5f}".rstrip("0").rstrip(".")
