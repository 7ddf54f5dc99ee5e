"""What a comparison with the base says: does fine-tuning help, or does it backfire?"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The outcome of one comparison; BASE marks the rows of the base itself."""

    HELPS = "HELPS"
    HARMS = "HARMS"
    INCONCLUSIVE = "INCONCLUSIVE"
    BASE = "BASE"


def verdict(ci_low: float | None, ci_high: float | None, p_adjusted: float, alpha: float) -> Verdict:
    """HELPS or HARMS when both the test and the interval say so, else INCONCLUSIVE.

    `ci_low` and `ci_high` bound the difference to base (None: there is no interval), `p_adjusted` is the p-value
    corrected for the number of comparisons, `alpha` the level. The interval has to lie on one side of 0.
    INCONCLUSIVE means that the two cannot be told apart with these queries, not that they are equal.
    """
    if ci_low is None or ci_high is None or not p_adjusted < alpha:
        return Verdict.INCONCLUSIVE
    if ci_low > 0:
        return Verdict.HELPS
    if ci_high < 0:
        return Verdict.HARMS
    return Verdict.INCONCLUSIVE


def sentence(row: Mapping[str, Any], alpha: float = 0.05) -> str:
    """A row of the table `comparison` in plain words, with the numbers that the verdict rests on."""
    variant, measure = row["variant"], row["measure"]
    queries = f"{row['queries']:,} {'query' if row['queries'] == 1 else 'queries'}"
    if row["verdict"] == Verdict.BASE:
        return f"{variant}: {measure} {row['mean']:.3f} over {queries}."
    claim = {
        Verdict.HELPS: "helps",
        Verdict.HARMS: "backfires",
        Verdict.INCONCLUSIVE: "cannot be told apart from base",
    }[Verdict(row["verdict"])]
    interval = "no interval"
    if row["ci_low"] is not None:
        interval = f"{100 * (1 - alpha):g} % interval {row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
    seeds = "one training seed" if row["seeds"] == 1 else f"mean of {row['seeds']} training seeds"
    return (
        f"{variant} {claim}: {measure} {row['mean']:.3f} against {row['base_mean']:.3f} for base "
        f"({row['delta']:+.3f}, {interval}, adjusted p {_p_value(row['p_adjusted'])}; {queries}, {seeds})."
    )


def _p_value(p: float) -> str:
    """Two digits, never an exponent and never a bare zero."""
    return "< 0.0001" if p < 0.0001 else f"{float(f'{p:.2g}'):.5f}".rstrip("0").rstrip(".")
