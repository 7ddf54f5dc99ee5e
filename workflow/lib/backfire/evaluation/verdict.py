"""What a comparison says: does fine-tuning help, does it backfire, does it change nothing that matters?

The rule is the functions `verdict` and `retention`; its words are `MEANINGS` and `NOTES`. Whatever tells it (the page,
the paragraph for a paper, the captions, docs/statistics.md) takes it from `words`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from backfire.evaluation.significance.equivalence import fewest_queries


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


MEANINGS: dict[str, tuple[str, str]] = {
    Verdict.HELPS: (
        "better than base",
        "the adjusted p is below {alpha}, the difference is at least the margin ({margin}), and its interval "
        "lies above 0",
    ),
    Verdict.HARMS: ("fine-tuning backfired", "the same holds below 0"),
    Verdict.EQUIVALENT: (
        "no difference that matters",
        "two one-sided tests exclude the margin in both directions (the adjusted p is below {alpha}), the interval "
        "lies within the margin, and there are at least {fewest} queries",
    ),
    Verdict.INCONCLUSIVE: (
        "not known",
        "none of these holds; that does not mean that the two are equal, and the sentence beside it says what is "
        "missing",
    ),
    Retention.FORGETS: ("a loss that matters on text that was not trained on", "the verdict there is HARMS"),
    Retention.KEEPS: (
        "no loss that matters on such text",
        "a one-sided test excludes a loss of the margin or more there (the adjusted p is below {alpha}) with at least "
        "{fewest} queries, or the verdict is HELPS or EQUIVALENT",
    ),
    Retention.OPEN: ("not known for such text", "neither holds"),
}
"""The rule: what each outcome says and when, by its name, in the order in which it asks."""

NOTES = {
    "margin": "The margin is the smallest difference that matters, set before looking: {margin} for {measure}.",
    "fewest": "{fewest} queries, since with fewer a change that costs a share of {margin} of all queries a full point "
    "each, which moves the mean by the margin, could go unseen altogether.",
    "uncorrected": "Intervals are of one comparison each and are not corrected for the number of comparisons, as "
    "adjusted p-values are: an interval can lie on one side of 0 where the verdict is INCONCLUSIVE.",
    "one_sided": "On text that was not trained on, the {one_sided} interval goes with the one-sided test behind "
    "'keeps', before its p is adjusted: it lies above minus the margin where a loss of the margin or more is excluded.",
}
"""What goes with the rule, wherever its numbers are shown."""


def words(comparison: Mapping[str, Any], measure: str) -> dict[str, Any]:
    """The rule and its notes with the numbers of a study: {"meanings": {outcome: text}, and each of `NOTES`}.

    `comparison` is that block of the configuration, `measure` the primary one.
    """
    alpha, margins = comparison["alpha"], comparison["margins"]
    margin = margins.get(measure, margins["default"])
    numbers = {"alpha": f"{alpha:g}", "margin": f"{margin:g}", "measure": measure}
    numbers |= {"fewest": f"{fewest_queries(margin, alpha):,}", "one_sided": f"{100 * (1 - 2 * alpha):g} %"}
    meanings = {str(name): ": ".join(parts).format(**numbers) for name, parts in MEANINGS.items()}
    return {"meanings": meanings, **{name: note.format(**numbers) for name, note in NOTES.items()}}


def verdict(
    delta: float,
    interval: tuple[float, float] | None,
    p_adjusted: float,
    p_equivalence: float | None,
    margin: float,
    alpha: float,
) -> Verdict:
    """The rule, as `MEANINGS` says it, on the mean difference `delta`.

    `p_adjusted` and `p_equivalence` (that of the two one-sided tests) are adjusted; with several seeds p-values and
    interval cover seeds as well as queries. `interval` is None for a single query, `p_equivalence` for too few.
    """
    if interval is None:
        return Verdict.INCONCLUSIVE
    if p_adjusted < alpha and abs(delta) >= margin:
        if interval[0] > 0:
            return Verdict.HELPS
        if interval[1] < 0:
            return Verdict.HARMS
    if p_equivalence is not None and p_equivalence < alpha and -margin < interval[0] and interval[1] < margin:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE


def retention(found: Verdict, p_noninferiority: float | None, alpha: float) -> Retention:
    """What a comparison on text that was not trained on says of forgetting, as `MEANINGS` says it.

    `found` is its verdict and `p_noninferiority` the adjusted p of a loss of the margin or more, None with too few
    queries for the rule.
    """
    if found == Verdict.HARMS:
        return Retention.FORGETS
    if found in (Verdict.HELPS, Verdict.EQUIVALENT) or (p_noninferiority is not None and p_noninferiority < alpha):
        return Retention.KEEPS
    return Retention.OPEN


def shortfall(row: Mapping[str, Any]) -> str | None:
    """Why a row of `comparison` is INCONCLUSIVE though its interval lies within the margin; None for any other row."""
    low, high, margin = row["ci_low"], row["ci_high"], row["margin"]
    if row["verdict"] != Verdict.INCONCLUSIVE or low is None or not -margin < low <= high < margin:
        return None
    if row["queries"] < row["fewest_queries"]:
        return f"{_queries(row)} are too few for the rule, which takes {row['fewest_queries']:,} to call it equivalent"
    p = p_value(row["p_equivalence_adjusted"])
    return f"the tests against the margin, adjusted for the number of comparisons, do not call it equivalent (p {p})"


def keeping(row: Mapping[str, Any], alpha: float) -> str:
    """What `retention` of a row rests on: the one-sided interval, and the queries that `keeps` would take."""
    if row["one_sided_low"] is None:
        return "no interval"
    bounds = f"{100 * (1 - 2 * alpha):g} % interval {row['one_sided_low']:+.4f} to {row['one_sided_high']:+.4f}"
    if row["retention"] == Retention.OPEN and row["queries"] < row["fewest_queries"]:
        return f"{bounds}; 'keeps' takes {row['fewest_queries']:,} queries"
    return bounds


def sentence(row: Mapping[str, Any], alpha: float = 0.05) -> str:
    """A row of the table `comparison` in plain words, with the numbers that the verdict rests on."""
    variant, measure, reference = row["variant"], row["measure"], row["reference"]
    queries = _queries(row)
    if row["verdict"] == Verdict.BASE:
        return f"{variant}: {measure} {row['mean']:.3f} over {queries}."
    margin = f"{row['margin']:g}"
    claim = {
        Verdict.HELPS: "helps" if reference == "base" else f"is better than {reference}",
        Verdict.HARMS: "backfires" if reference == "base" else f"is worse than {reference}",
        Verdict.EQUIVALENT: f"is equivalent to {reference} within {margin}",
        Verdict.INCONCLUSIVE: f"cannot be told apart from {reference}",
    }[Verdict(row["verdict"])]
    if missing := shortfall(row):
        claim = f"is within {margin} of {reference} by its interval, but {missing}"
    elif row["verdict"] == Verdict.INCONCLUSIVE and row["p_adjusted"] < alpha:
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
    """What would settle an inconclusive comparison, which is to say no difference from one of twice the margin; nothing
    for another."""
    if row["verdict"] != Verdict.INCONCLUSIVE:
        return ""
    queries, seeds = row["queries_needed"], row["seeds_needed"]
    if queries is None:
        return " No number of queries that one could gather would settle this."
    more, here = [], []
    if queries > row["queries"]:
        more.append(f"{queries:,} queries")
        here.append(f"{row['queries']:,}")
    if seeds is not None and seeds > row["seeds"]:
        more.append(f"{seeds} seeds")
        here.append(f"{row['seeds']}")
    if not more:
        return (
            " These queries and seeds are enough to settle no difference and one of twice the margin; this one lies in "
            "between."
        )
    are = "is" if here == ["1"] else "are"
    return f" About {' and '.join(more)} would be enough to settle this; there {are} {' and '.join(here)}."


def _queries(row: Mapping[str, Any]) -> str:
    return f"{row['queries']:,} {'query' if row['queries'] == 1 else 'queries'}"


def p_value(p: float) -> str:
    """Two digits, never an exponent and never a bare zero."""
    return "< 0.0001" if p < 0.0001 else f"{float(f'{p:.2g}'):.5f}".rstrip("0").rstrip(".")
