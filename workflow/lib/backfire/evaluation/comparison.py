"""Every variant against the base: the table that the verdicts stand in."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from backfire.errors import BackfireError
from backfire.evaluation.families import ALTERNATIVES, CLAIMING, CLAIMS, EXPLORES, HELPERS
from backfire.evaluation.perquery import Place, Scores, Store, read_store
from backfire.evaluation.significance.effects import cohen_d, crossed_t_p, paired_t_p
from backfire.evaluation.significance.equivalence import fewest_queries, noninferiority_p, one_sided_bounds, tost_p
from backfire.evaluation.significance.families import benjamini_hochberg, holm
from backfire.evaluation.significance.intervals import crossed_interval
from backfire.evaluation.significance.power import minimum_detectable_effect, needed
from backfire.evaluation.significance.randomisation import sign_flip_tests
from backfire.evaluation.significance.seeds import components
from backfire.evaluation.verdict import Verdict, retention, sentence, verdict
from backfire.formats.delimited import write_csv
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_rng

log = logging.getLogger(__name__)

BASE = "base"


@dataclass(frozen=True)
class Rules:
    """How variants are compared: the block `comparison` of the configuration."""

    alpha: float
    resamples: int
    """Bootstrap resamples of each interval."""
    flips: int
    """Sign assignments of each randomisation test."""
    seed: int
    power: float
    margins: Mapping[str, float]
    """The smallest difference that matters, by measure; `default` for others."""
    against: Sequence[str]
    """Variants that others are compared with besides base."""

    def margin(self, measure: str) -> float:
        """The smallest difference in a measure that matters."""
        return self.margins.get(measure, self.margins["default"])


@dataclass(frozen=True)
class Design:
    """What a study compares, in the order of its tables; lists, as a rule's parameters hold them, become tuples."""

    variants: Sequence[str]
    evaluations: Sequence[Sequence[str]]
    """(collection, split)"""
    measures: Sequence[str]
    primary: Sequence[str]
    """(collection, split, measure) of the claims."""
    elsewhere: Sequence[Sequence[str]]
    """The (collection, split) of text that was not trained on, where forgetting shows."""
    taught: Sequence[str] | None = None
    """The variants that a training of this study stands behind, which alone can forget; None for all."""
    alternatives: Sequence[str] = ()
    """The variants that are there to be tried instead, whose claims are a family of their own."""

    def __post_init__(self):
        # A list equals no tuple, and says so of every comparison without an error.
        object.__setattr__(self, "primary", tuple(self.primary))
        for name in ("evaluations", "elsewhere"):
            object.__setattr__(self, name, [tuple(pair) for pair in getattr(self, name)])

    @property
    def places(self) -> list[Place]:
        """Every (collection, split, measure)."""
        return [(*evaluation, measure) for evaluation in self.evaluations for measure in self.measures]


def compare_variants(
    measures: str | Path,
    selection: str | Path | None,
    design: Design,
    rules: Rules,
    parquet: str | Path,
    csv: str | Path,
) -> None:
    """Compare the variants in the table `measures` and write the table `comparison`, twice. See `compare`.

    `selection` is the table of that name: its candidates that were not chosen make no claim. None where the study
    chooses nothing.
    """
    passed = set()
    if selection is not None:
        passed = {row["variant"] for row in read_rows(selection, "selection").to_pylist() if not row["chosen"]}
    rows = compare(read_store(measures), design, rules, passed)
    for row in rows:
        if row["family"] in CLAIMING and row["reference"] == BASE:
            log.info("%s", sentence(row, rules.alpha))
    write_rows(parquet, "comparison", rows)
    write_csv(csv, "comparison", rows)


def compare(store: Store, design: Design, rules: Rules, passed: set[str] = frozenset()) -> list[dict[str, Any]]:
    """Rows of the table `comparison`: for base and each of `against`, one for each variant and place.

    Differences are paired by query and described by a bootstrap interval at confidence 1 - alpha (BCa with one seed,
    crossed over seeds and queries with several), a paired t test, a sign-flip test, d_z, wins, ties and losses, and
    one-sided tests against the margin. Claims are the variants at `primary` but for those in `passed`, a family for
    each reference, and the alternatives another: its sign-flip tests are adjusted by step-down maxT, with Holm's beside
    it, its tests against the margin by Holm. Claims of both that help are then compared with one another at `primary`,
    all pairs a family of its own, adjusted alike; `variant` is the one with the higher mean. All other rows explore and
    are one family, adjusted by Benjamini-Hochberg. With several seeds the sign-flip test looks at a query's mean over
    the seeds and takes them as given, so a t test over seeds and queries stands beside it, and the larger of the two
    counts. Intervals are of one comparison and are not adjusted. Rows of base have delta 0 and no tests.

    Draws are keyed by (seed, place) for signs, which all variants share, and by (seed, variant, reference, place) for
    intervals, so one more variant changes no other's interval or p. Raises `BackfireError` as `Store` does, and when
    the primary measure is not one of the study.
    """
    if design.primary not in design.places:
        raise BackfireError(
            f"primary: {'/'.join(design.primary)} is not among the measures of this study.",
            "set primary to a collection, split and measure that the study evaluates.",
        )
    rows = [_base_row(store, place) for place in design.places if BASE in design.variants]
    for reference in dict.fromkeys((BASE, *rules.against)):
        compared = [name for name in design.variants if name not in (BASE, reference)]
        found: dict[tuple[str, Place], dict[str, Any]] = {}
        for place in design.places:
            claims = [name for name in compared if place == design.primary and name not in passed]
            instead = [name for name in claims if name in design.alternatives]
            families = {
                CLAIMS: [name for name in claims if name not in instead],
                ALTERNATIVES: instead,
                EXPLORES: [name for name in compared if name not in claims],
            }
            for family, names in families.items():
                described = _family(store, [(name, reference) for name in names], place, family, rules)
                found |= {(row["variant"], place): row for row in described}
        rows += [found[name, place] for name in compared for place in design.places]
    adjust_exploring([row for row in rows if row["family"] == EXPLORES])
    for row in rows:
        if row["family"] is not None:
            _conclude(row, design, rules)
    among = _family(store, _helping(rows), design.primary, HELPERS, rules)
    for row in among:
        _conclude(row, design, rules)
    return rows + among


def _helping(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Every two of the claims that help, the one with the higher mean first."""
    helping = [
        row for row in rows if row["family"] in CLAIMING and (row["reference"], row["verdict"]) == (BASE, Verdict.HELPS)
    ]
    helping.sort(key=lambda row: -row["mean"])
    return [(better["variant"], other["variant"]) for better, other in combinations(helping, 2)]


def _base_row(store: Store, place: Place) -> dict[str, Any]:
    """The row of base itself; what compares is left empty."""
    base = store.at(place, BASE)
    row = _head(BASE, BASE, place, base, base) | {"delta": 0.0, "wins": 0, "ties": len(base.queries), "losses": 0}
    return dict.fromkeys(SCHEMAS["comparison"].names) | row | {"verdict": Verdict.BASE.value}


def _head(variant: str, reference: str, place: Place, tuned: Scores, base: Scores) -> dict[str, Any]:
    return {
        "variant": variant,
        "reference": reference,
        **dict(zip(("collection", "split", "measure"), place, strict=True)),
        "seeds": len(tuned.seeds),
        "queries": len(tuned.queries),
        "mean": float(tuned.means.mean()),
        "reference_mean": float(base.means.mean()),
    }


def _family(
    store: Store, pairs: Sequence[tuple[str, str]], place: Place, family: str, rules: Rules
) -> list[dict[str, Any]]:
    """Rows of the pairs (variant, reference) that are tested together at one place."""
    crossed = {pair: store.differences(place, *pair) for pair in pairs}
    return [
        found | _head(name, reference, place, store.at(place, name), store.at(place, reference))
        for (name, reference), found in zip(pairs, tested(crossed, place, family, rules), strict=True)
    ]


def tested(
    crossed: Mapping[tuple[str, str], np.ndarray], place: Place, family: str, rules: Rules
) -> list[dict[str, Any]]:
    """What differences say that are tested together at one place, one after another: rows of the table `comparison`, of
    which what does not follow from the differences is left empty.

    `crossed` are the differences, shape (seeds, queries), by a name that keys their draws. Those of a family that does
    not explore are adjusted for one another.
    """
    if not crossed:
        return []
    rng = keyed_rng("sign flip", rules.seed, *place)
    paired = np.stack([_over_seeds(differences) for differences in crossed.values()], axis=1)
    alone, maxt = sign_flip_tests(paired, rules.flips, rng)
    rows = [
        _effect(differences, (*name, *place), 1 if family == EXPLORES else len(crossed), rules)
        | {"family": family, "p": float(p)}
        for (name, differences), p in zip(crossed.items(), alone, strict=True)
    ]
    if family != EXPLORES:
        _adjust(rows, "p_holm", _larger_p, holm)
        _adjust_margins(rows, holm)
        for row, p in zip(rows, maxt, strict=True):
            # Signs are turned query by query, so step-down maxT knows nothing of seeds.
            row["p_adjusted"] = float(p) if row["p_seeds"] is None else max(float(p), row["p_holm"])
    return rows


def adjust_exploring(rows: Sequence[dict[str, Any]]) -> None:
    """Adjust rows that explore for one another, by Benjamini-Hochberg, in place."""
    _adjust(rows, "p_adjusted", _larger_p, benjamini_hochberg)
    _adjust_margins(rows, benjamini_hochberg)


def concluded(row: Mapping[str, Any], alpha: float) -> Verdict:
    """The verdict of a row whose p-values are adjusted."""
    interval = None if row["ci_low"] is None else (row["ci_low"], row["ci_high"])
    return verdict(row["delta"], interval, row["p_adjusted"], row["p_equivalence_adjusted"], row["margin"], alpha)


def _over_seeds(crossed: np.ndarray) -> np.ndarray:
    """Means over the seeds, shape (queries,); seeds that cancel make no difference, not even in the last bit."""
    differences = crossed.mean(axis=0)
    return np.where(np.abs(differences) <= 1e-15, 0.0, differences)


def _effect(crossed: np.ndarray, key: tuple[str, ...], claims: int, rules: Rules) -> dict[str, Any]:
    """What the differences of one variant, shape (seeds, queries), say, as one of so many claims."""
    differences, margin = _over_seeds(crossed), rules.margin(key[-1])
    delta = float(differences.mean())
    rng = keyed_rng("bootstrap", rules.seed, *key)
    low, high = crossed_interval(crossed, 1 - rules.alpha, rules.resamples, rng) or (None, None)
    found = dict.fromkeys(SCHEMAS["comparison"].names) | {
        "delta": delta,
        "ci_low": low,
        "ci_high": high,
        "p_t": paired_t_p(differences),
        "d_z": cohen_d(differences),
        "wins": int((differences > 0).sum()),
        "ties": int((differences == 0).sum()),
        "losses": int((differences < 0).sum()),
        "margin": margin,
        "fewest_queries": fewest_queries(margin, rules.alpha),
    }
    if len(differences) > 1:  # a single query has no spread to plan with
        spread = components(crossed)
        found["seed_share"] = spread.seed_share
        found["p_seeds"] = crossed_t_p(delta, spread)
        found["mde"] = minimum_detectable_effect(spread.standard_error, rules.alpha / claims, margin, rules.power)
        found["queries_needed"], found["seeds_needed"] = needed(spread, rules.alpha, claims, margin, rules.power)
        found["one_sided_low"], found["one_sided_high"] = one_sided_bounds(delta, spread, rules.alpha)
        if len(differences) >= found["fewest_queries"]:
            found["p_equivalence"] = tost_p(delta, spread, margin)
            found["p_noninferiority"] = noninferiority_p(delta, spread, margin)
    return found


def _adjust(rows: Sequence[dict[str, Any]], column: str, raw: Callable, method: Callable) -> None:
    """Fill in `column` for the rows that have a p-value, as `raw` gives it; the others do not count as comparisons."""
    tested = [row for row in rows if raw(row) is not None]
    for row, p in zip(tested, method([raw(row) for row in tested]), strict=True):
        row[column] = p


def _larger_p(row: dict[str, Any]) -> float:
    return row["p"] if row["p_seeds"] is None else max(row["p"], row["p_seeds"])


def _adjust_margins(rows: Sequence[dict[str, Any]], method: Callable) -> None:
    """Adjust the tests against the margin, each kind for itself."""
    for column in ("p_equivalence", "p_noninferiority"):
        _adjust(rows, f"{column}_adjusted", itemgetter(column), method)


def _conclude(row: dict[str, Any], design: Design, rules: Rules) -> None:
    base = row["reference_mean"]
    row["relative"] = row["delta"] / base if base else None
    found = concluded(row, rules.alpha)
    row["verdict"] = found.value
    taught = design.taught is None or row["variant"] in design.taught
    if taught and row["reference"] == BASE and (row["collection"], row["split"]) in design.elsewhere:
        row["retention"] = retention(found, row["p_noninferiority_adjusted"], rules.alpha).value
