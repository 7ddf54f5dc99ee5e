"""Every variant against the base: the table that the verdicts stand in."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.delimited import write_csv
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_rng
from backfire.significance.families import benjamini_hochberg, holm
from backfire.significance.intervals import bootstrap_interval
from backfire.significance.randomisation import sign_flip_p
from backfire.verdict import Verdict, sentence, verdict

log = logging.getLogger(__name__)

BASE = "base"

Values = dict[tuple[str, str, str], dict[str, dict[int, dict[str, float]]]]
"""{(collection, split, measure): {variant: {seed: {query_id: value}}}}"""


def compare_variants(
    measures: str | Path,
    variants: Sequence[str],
    evaluations: Sequence[Sequence[str]],
    names: Sequence[str],
    primary: Sequence[str],
    alpha: float,
    resamples: int,
    seed: int,
    parquet: str | Path,
    csv: str | Path,
) -> None:
    """Compare every variant in the table `measures` with base and write the table `comparison`, twice.

    `variants`, `evaluations` ((collection, split) each) and `names` of measures give the order of the rows,
    `primary` is the (collection, split, measure) of the headline. See `compare`.
    """
    rows = compare(_values(measures), variants, evaluations, names, primary, alpha, resamples, seed)
    for row in rows:
        if (row["collection"], row["split"], row["measure"]) == tuple(primary):
            log.info("%s", sentence(row, alpha))
    write_rows(parquet, "comparison", rows)
    write_csv(csv, "comparison", rows)


def compare(
    values: Values,
    variants: Sequence[str],
    evaluations: Sequence[Sequence[str]],
    names: Sequence[str],
    primary: Sequence[str],
    alpha: float,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of the table `comparison`, one for each variant, (collection, split) and measure.

    A query's value is its mean over the seeds of the variant; differences to base are paired by query. `delta` has
    a BCa bootstrap interval at confidence 1 - alpha and a two-sided sign-flip test. P-values are adjusted in two
    families: Holm over the trained variants at `primary`, the claims that the study is about; Benjamini-Hochberg
    over all other rows, which explore. The interval is of one comparison and is not adjusted. Rows of base have
    delta 0 and neither interval nor p. Draws are keyed by (seed, variant, collection, split, measure), so one more
    variant changes no other's interval and p.

    Raises `BackfireError` when a variant or the primary measure is missing, or query sets differ.
    """
    primary = tuple(primary)
    places = [(collection, split, name) for collection, split in evaluations for name in names]
    if primary not in places:
        raise BackfireError(
            f"primary: {'/'.join(primary)} is not among the measures of this study.",
            "set primary to a collection, split and measure that the study evaluates.",
        )
    rows = [
        _row(_queries(values, variant, place), _queries(values, BASE, place), place, variant, alpha, resamples, seed)
        for variant in variants
        for place in places
    ]
    trained = [row for row in rows if row["variant"] != BASE]
    claims = [row for row in trained if _place(row) == primary]
    explored = [row for row in trained if _place(row) != primary]
    for family, adjust in ((claims, holm), (explored, benjamini_hochberg)):
        for row, p_adjusted in zip(family, adjust([row["p"] for row in family]), strict=True):
            row["p_adjusted"] = p_adjusted
            row["verdict"] = verdict(row["ci_low"], row["ci_high"], p_adjusted, alpha).value
    return rows


def _row(tuned, base, place, variant: str, alpha: float, resamples: int, seed: int) -> dict[str, Any]:
    """One row, its p-value not yet adjusted. `tuned` and `base`: {seed: {query_id: value}}."""
    queries = sorted(next(iter(base.values())))
    for run in (*tuned.values(), *base.values()):
        if sorted(run) != queries:
            raise BackfireError(
                f"{'/'.join(place)}: {variant} was measured on {len(run)} queries, base on {len(queries)}, "
                "and they are not the same.",
                "variants are compared on the same queries; delete results/<study>/measures/ and run again.",
            )
    mean = np.mean([[run[query_id] for query_id in queries] for run in tuned.values()], axis=0)
    base_mean = np.mean([[run[query_id] for query_id in queries] for run in base.values()], axis=0)
    # Averages over seeds of equal values may differ from them in the last bit, which is no win.
    differences = np.where(np.isclose(mean, base_mean, rtol=1e-12, atol=1e-15), 0.0, mean - base_mean)
    row = {
        "variant": variant,
        **dict(zip(("collection", "split", "measure"), place, strict=True)),
        "seeds": len(tuned),
        "queries": len(queries),
        "mean": float(mean.mean()),
        "base_mean": float(base_mean.mean()),
        "delta": float(differences.mean()),
        "ci_low": None,
        "ci_high": None,
        "p": None,
        "p_adjusted": None,
        "wins": int((differences > 0).sum()),
        "ties": int((differences == 0).sum()),
        "losses": int((differences < 0).sum()),
        "verdict": Verdict.BASE.value,
    }
    if variant != BASE:
        key = (seed, variant, *place)
        interval = bootstrap_interval(differences, 1 - alpha, resamples, keyed_rng("bootstrap", *key))
        row["ci_low"], row["ci_high"] = interval or (None, None)
        row["p"] = sign_flip_p(differences, resamples, keyed_rng("sign flip", *key))
    return row


def _place(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["collection"], row["split"], row["measure"]


def _queries(values: Values, variant: str, place: tuple[str, str, str]) -> dict[int, dict[str, float]]:
    """{seed: {query_id: value}} of a variant; raises `BackfireError` when it was not measured."""
    found = values.get(place, {}).get(variant)
    if not found:
        raise BackfireError(
            f"{variant} has no values of {place[2]} on {place[0]}/{place[1]}.",
            "delete results/<study>/measures.parquet and run again; a measure that was not taken is not a zero.",
        )
    return found


def _values(path: str | Path) -> Values:
    values: Values = {}
    for batch in _rows(path):
        for variant, seed, collection, split, measure, query_id, value in batch:
            place = values.setdefault((collection, split, measure), {})
            place.setdefault(variant, {}).setdefault(seed, {})[query_id] = value
    return values


def _rows(path: str | Path) -> Iterator[zip]:
    for batch in read_rows(path, "measures").to_batches():
        yield zip(*(column.to_pylist() for column in batch.columns), strict=True)
