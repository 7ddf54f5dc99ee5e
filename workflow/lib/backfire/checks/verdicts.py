"""Checks of every number that is measured and compared."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backfire.evaluation.families import ALTERNATIVES, CLAIMS, EXPLORES
from backfire.evaluation.significance.equivalence import fewest_queries
from backfire.study.variants import BASE

# Sums in another order differ in the last bits.
CLOSE = 1e-9
PLACE = ["collection", "split", "measure"]
Row = dict[str, Any]


def check_queries(found) -> Iterator[str]:
    """Every model has a value of every measure for each query that the manifest counts."""
    table = found.tables["measures"]
    if not table["value"].between(0, 1).all():
        yield "a value of a measure is missing or not between 0 and 1"
    sizes = table.groupby(["variant", "seed", *PLACE])["query_id"].nunique()
    if len(table) != sizes.sum():
        yield "a query occurs twice"
    for collection, split in found.study.evaluations:
        kept = found.manifests[collection]["splits"][split]["queries"]["kept"]
        for run in found.study.runs:
            for measure in found.study.config["measures"]:
                here = sizes.get((*run, collection, split, measure), 0)
                if here != kept:
                    yield f"{run[0]} seed {run[1]} has {measure} of {here} queries of {collection}/{split}, not {kept}"


def check_ties(found) -> Iterator[str]:
    """Bounds enclose their mean, which is that of the measures."""
    keys = ["variant", "seed", *PLACE]
    means = found.tables["measures"].groupby(keys)["value"].mean()
    table = found.tables["ties"].set_index(keys)
    if not table.index.sort_values().equals(means.index.sort_values()):
        yield "its rows are not those of the measures"
        return
    if (abs(table["value"] - means.loc[table.index]) > CLOSE).any():
        yield "a mean is not that of the measures"
    if not ((table["worst"] <= table["value"] + CLOSE) & (table["value"] <= table["best"] + CLOSE)).all():
        yield "a bound lies on the wrong side of its mean"


def _tuned(row: Row, found) -> bool:
    return row["variant"] != BASE


def _several(row: Row, found) -> bool:
    return _tuned(row, found) and row["queries"] > 1


def _seeded(row: Row, found) -> bool:
    return _several(row, found) and row["seeds"] > 1


def _claim(row: Row, found) -> bool | None:
    return {CLAIMS: True, ALTERNATIVES: True, EXPLORES: False, None: False}.get(row["family"])


def _enough(row: Row, found) -> bool:
    return _several(row, found) and row["queries"] >= fewest_queries(
        row["margin"], found.study.config["comparison"]["alpha"]
    )


def _elsewhere(row: Row, found) -> bool:
    place = (row["collection"], row["split"])
    taught = row["variant"] in found.study.taught
    return _tuned(row, found) and taught and row["reference"] == BASE and place in found.study.elsewhere


def _always(row: Row, found) -> bool:
    return True


def _where_defined(row: Row, found) -> None:
    """Undefined for equal differences, or where no number of queries would do."""


# When a column must have a value; it must be empty where this says False, and may be either where it says None.
FILLED: dict[str, Callable[[Row, Any], bool | None]] = {
    **dict.fromkeys(("variant", "reference", *PLACE, "seeds", "queries", "mean", "reference_mean"), _always),
    **dict.fromkeys(("delta", "wins", "ties", "losses", "verdict"), _always),
    **dict.fromkeys(("family", "p", "p_adjusted", "margin", "fewest_queries"), _tuned),
    **dict.fromkeys(("ci_low", "ci_high", "one_sided_low", "one_sided_high", "mde"), _several),
    **dict.fromkeys(("p_equivalence", "p_equivalence_adjusted"), _enough),
    **dict.fromkeys(("p_noninferiority", "p_noninferiority_adjusted"), _enough),
    "relative": lambda row, found: _tuned(row, found) and row["reference_mean"] != 0,
    "p_holm": _claim,
    "p_seeds": _seeded,
    "retention": _elsewhere,
    **dict.fromkeys(("p_t", "d_z", "queries_needed", "seeds_needed", "seed_share"), _where_defined),
}


def check_comparison(found) -> Iterator[str]:
    """Each variant once at each place, with the columns that the documentation names, and numbers that add up."""
    import pandas as pd

    study, table = found.study, found.tables["comparison"]
    keys = table[["variant", "reference", *PLACE]].apply(tuple, axis=1)
    expected = {
        (variant, BASE, *place, measure)
        for variant in study.compared
        for place in study.evaluations
        for measure in study.config["measures"]
    }
    missing = expected - set(keys)
    if missing:
        yield f"there is no row for {' '.join(sorted(missing)[0])}"
    if keys.duplicated().any():
        yield f"{' '.join(keys[keys.duplicated()].iloc[0])} occurs twice"
    means = found.tables["measures"].groupby(["variant", *PLACE])["value"].mean()
    for row in table.astype(object).where(pd.notna(table), None).to_dict("records"):
        yield from (f"{_named(row)}: {fault}" for fault in _faults(row, found, means))
    if list(found.tables["csv"].columns) != list(table.columns) or len(found.tables["csv"]) != len(table):
        yield "comparison.csv has other rows or columns than comparison.parquet"
    elif not np.allclose(found.tables["csv"]["delta"], table["delta"], rtol=0, atol=CLOSE):
        yield "comparison.csv has other numbers than comparison.parquet"


def _faults(row: Row, found, means) -> Iterator[str]:
    for column in row:
        wanted = FILLED[column](row, found)
        if wanted is not None and wanted != (row[column] is not None):
            yield f"{column} {'has no value' if wanted else 'has a value where it means nothing'}"
    if row["wins"] + row["ties"] + row["losses"] != row["queries"]:
        yield "wins, ties and losses do not add up to the queries"
    if abs(row["mean"] - row["reference_mean"] - row["delta"]) > CLOSE:
        yield "the difference is not that of the means"
    mean = means.get((row["variant"], *(row[name] for name in PLACE)))
    if mean is None or abs(mean - row["mean"]) > CLOSE:
        yield "the mean is not that of the measures"
    bounds = (row["ci_low"], row["ci_high"])
    if None not in bounds and not bounds[0] - CLOSE <= row["delta"] <= bounds[1] + CLOSE:
        yield "the interval does not hold the difference"
    for column in ("p", "p_adjusted", "p_holm", "p_t", "p_seeds", "p_equivalence", "p_equivalence_adjusted"):
        if row[column] is not None and not 0 <= row[column] <= 1:
            yield f"{column} is no probability"
    if None not in (row["p"], row["p_adjusted"]) and row["p_adjusted"] < row["p"] - CLOSE:
        yield "p_adjusted is below p"


def check_main_table(found) -> Iterator[str]:
    """The table for a paper is the comparison at the primary place."""
    table, main = found.tables["comparison"], found.tables["main"]
    here = table[(table[PLACE].apply(tuple, axis=1) == tuple(found.study.primary)) & (table["reference"] == BASE)]
    if list(main["variant"]) != list(here["variant"]) or list(main["verdict"]) != list(here["verdict"]):
        yield "tables/main.csv has other variants or verdicts than the comparison"
    elif not np.allclose(main[["mean", "delta"]], here[["mean", "delta"]], rtol=0, atol=CLOSE):
        yield "tables/main.csv has other numbers than the comparison"


def check_strata(found) -> Iterator[str]:
    """Every tuned variant has its strata, they add up to its queries, and queries that moved are listed."""
    table, moved, comparison = (found.tables[name] for name in ("strata", "moved", "comparison"))
    primary = comparison[comparison[PLACE].apply(tuple, axis=1) == tuple(found.study.primary)]
    for row in primary[(primary["reference"] == BASE) & (primary["variant"] != BASE)].to_dict("records"):
        strata = table[table["variant"] == row["variant"]]
        sizes = strata.groupby("factor")["queries"].sum()
        if not len(sizes) or not (sizes == row["queries"]).all():
            yield f"the strata of {row['variant']} do not add up to its {row['queries']} queries"
        for direction, number in (("loss", row["losses"]), ("gain", row["wins"])):
            listed = moved[(moved["variant"] == row["variant"]) & (moved["direction"] == direction)]
            if bool(number) != bool(len(listed)) or len(listed) > number:
                yield f"{row['variant']} has {number} queries with a {direction} and {len(listed)} are listed"
    held = (table["ci_low"].isna()) | (
        (table["ci_low"] <= table["delta"] + CLOSE) & (table["delta"] <= table["ci_high"] + CLOSE)
    )
    if not held.all():
        yield "an interval of a stratum does not hold its difference"


def _named(row: Row) -> str:
    return f"{row['variant']} against {row['reference']} on {row['collection']}/{row['split']}, {row['measure']}"
