"""Effectiveness of runs, query by query, by `ir_measures`."""

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.evaluation.ties import tie_bounds
from backfire.formats.embeddings import one_arithmetic
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import Ranking, iterate_run
from backfire.study.measure_names import measure_named

log = logging.getLogger(__name__)

# Queries that are scored together: bounds memory, changes no value.
QUERY_BLOCK = 500
KEY = ["variant", "seed", "collection", "split", "measure", "query_id"]

Qrels = dict[str, dict[str, int]]
"""Judgments as {query_id: {doc_id: relevance}}."""

Values = dict[str, dict[str, float]]
"""{measure: {query_id: value}}"""

Bounds = dict[str, dict[str, tuple[float, float]]]
"""{measure: {query_id: (worst, best)}} over all orders of ties, of the queries where they differ."""


def measure_run(
    runs: Sequence[str | Path],
    qrels: Sequence[str | Path],
    evaluations: Sequence[Sequence[str]],
    relevance: Sequence[int],
    measures: Sequence[str],
    depth: int,
    variant: str,
    seed: int,
    output: str | Path,
    ties: str | Path,
) -> None:
    """Score all runs of one (variant, seed) and write the table `measures` to `output` and `ties` to `ties`.

    `runs`, `qrels` and `relevance` give a file, a file and the lowest relevant grade (see `measure_named`) for each
    (collection, split) of `evaluations`, in that order. A value is stored under the name in `measures`, whatever
    the grade. `depth` is that of the runs (see `ties`). Raises `BackfireError` as `score_run` and `measure_named` do.
    """
    rows, tied = [], []
    for run, judgments, grade, (collection, split) in zip(runs, qrels, relevance, evaluations, strict=True):
        named = {name: measure_named(name, grade) for name in measures}
        values, bounds = score_ties(iterate_run(run), read_qrels(judgments), named, depth, source=str(run))
        head = {"variant": variant, "seed": seed, "collection": collection, "split": split}
        for name in measures:
            rows.extend(
                {**head, "measure": name, "query_id": query_id, "value": value}
                for query_id, value in sorted(values[name].items())
            )
            tied.append({**head, "measure": name, **_band(values[name], bounds[name])})
            band = [tied[-1][column] for column in ("value", "worst", "best")]
            log.info("%s/%s %s: %.4f, by the order of ties %.4f to %.4f", collection, split, name, *band)
    write_rows(output, "measures", rows)
    write_rows(ties, "ties", tied)


def score_run(
    run: Iterable[tuple[str, Ranking]], qrels: Qrels, measures: dict[str, Any], source: str = "run"
) -> Values:
    """Values of `measures` ({name: ir_measures measure}) for every query of `qrels`: {name: {query_id: value}}.

    The order of each ranking counts, not its scores: evaluation tools compare scores in single precision and break
    ties their own way (trec_eval by doc id descending), so they are given scores that strictly decrease. A measure
    keeps its own threshold of relevance. A query without results is scored as an empty ranking, which is 0 for
    every measure of effectiveness, and is counted in a warning.

    Raises `BackfireError` when the run ranks a query without judgments or a passage twice, when there are no
    judgments, or when a value is undefined.
    """
    values: Values = {name: {} for name in measures}
    for block, judged in _blocks(run, qrels, source):
        _score(block, judged, measures, values, source)
    return values


def score_ties(
    run: Iterable[tuple[str, Ranking]], qrels: Qrels, measures: dict[str, Any], depth: int, source: str = "run"
) -> tuple[Values, Bounds]:
    """Values as `score_run` gives them, and their bounds over all orders of passages of equal score.

    `depth` is that of the run, whose last tie may have been cut by it (see `ties.ordered`). Only queries whose ties
    hold passages of several grades are scored again. Raises `BackfireError` as `score_run` does.
    """
    values: Values = {name: {} for name in measures}
    bounds: Bounds = {name: {} for name in measures}
    for block, judged in _blocks(run, qrels, source):
        _score(block, judged, measures, values, source)
        orders = {query: tie_bounds(ranking, judged[query], depth) for query, ranking in block.items()}
        orders = {query: found for query, found in orders.items() if found}
        if not orders:
            continue
        again = [{name: {} for name in measures} for _ in range(2)]
        for end, extremes in enumerate(again):
            extreme = {query: found[end] for query, found in orders.items()}
            _score(extreme, {query: judged[query] for query in orders}, measures, extremes, source)
        for name in measures:
            for query in orders:
                # The order of the run is one of those that are possible, whatever the measure rewards.
                found = values[name][query], *(extremes[name][query] for extremes in again)
                if min(found) < max(found):
                    bounds[name][query] = min(found), max(found)
    return values, bounds


def score_queries(
    measures: Sequence[str], qrels: Iterable[tuple[str, str, int]], run: dict[str, Ranking], relevant_from: int = 1
) -> Values:
    """Values of each measure for every query, {name: {query_id: value}}, of a run in memory.

    `qrels` are (query_id, doc_id, relevance). Raises `BackfireError` as `score_run` and `measure_named` do.
    """
    judgments: Qrels = {}
    for query_id, doc_id, relevance in qrels:
        judgments.setdefault(query_id, {})[doc_id] = relevance
    return score_run(run.items(), judgments, {name: measure_named(name, relevant_from) for name in measures})


def mean_measures(
    measures: Sequence[str], qrels: Iterable[tuple[str, str, int]], run: dict[str, Ranking], relevant_from: int = 1
) -> dict[str, float]:
    """Mean over queries of what `score_queries` gives, {name: mean}."""
    values = score_queries(measures, qrels, run, relevant_from)
    return {name: mean(found.values()) for name, found in values.items()}


def read_qrels(path: str | Path) -> Qrels:
    """Read the table `qrels`. Raises `BackfireError` when a passage is judged twice for a query."""
    table = read_rows(path, "qrels")
    qrels: Qrels = {}
    for query_id, doc_id, relevance in zip(*(column.to_pylist() for column in table.columns), strict=True):
        judged = qrels.setdefault(query_id, {})
        if doc_id in judged:
            raise BackfireError(
                f"{path}: passage '{doc_id}' is judged twice for query '{query_id}'.",
                "keep one judgment per query and passage in the qrels of the collection.",
            )
        judged[doc_id] = relevance
    return qrels


def collect_measures(
    parts: Sequence[str | Path],
    ties: Sequence[str | Path],
    output: str | Path,
    ties_output: str | Path,
    encoded: Sequence[str | Path] = (),
) -> None:
    """Write the tables of all (variant, seed), `parts` and `ties`, as one table each, sorted by their key.

    `encoded`: the query embeddings behind them. Raises `BackfireError` when a row occurs twice, when two of them were
    not measured on the same queries with the same measures, or when embeddings were computed in different arithmetic.
    """
    one_arithmetic(encoded)
    table, bands = _gathered(parts, "measures", KEY), _gathered(ties, "ties", KEY[:-1])
    _check_same_queries(table)
    write_rows(output, "measures", table)
    write_rows(ties_output, "ties", bands)


def _gathered(parts: Sequence[str | Path], kind: str, key: list[str]):
    """Tables of one kind as one, sorted by `key` from left to right; raises where a row occurs twice."""
    import pyarrow as pa

    table = pa.concat_tables(read_rows(part, kind) for part in parts)
    _check_unique(table, key)
    return table.sort_by([(column, "ascending") for column in key])


def _blocks(
    run: Iterable[tuple[str, Ranking]], qrels: Qrels, source: str
) -> Iterator[tuple[dict[str, Ranking], dict[str, Any]]]:
    """Rankings with their judgments (None for a query that has none), `QUERY_BLOCK` at a time; queries without last."""
    if not qrels:
        raise BackfireError(f"{source}: there are no judgments to score it with.", "check the qrels of this split.")
    rankings, ranked = iter(run), set()
    while block := dict(islice(rankings, QUERY_BLOCK)):
        yield block, {query_id: qrels.get(query_id) for query_id in block}
        ranked.update(block)
    unranked = {query_id: judged for query_id, judged in qrels.items() if query_id not in ranked}
    if unranked:
        log.warning("%s: %d of %d queries have no results; they score 0.", source, len(unranked), len(qrels))
        yield {}, unranked


def _band(values: dict[str, float], bounds: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """The columns of the table `ties` that one measure has on one split."""
    worst, best = ({query: ends[end] for query, ends in bounds.items()} for end in (0, 1))
    return {
        "queries": len(values),
        "tied_queries": len(bounds),
        "worst": mean((values | worst).values()),
        "value": mean(values.values()),
        "best": mean((values | best).values()),
    }


def mean(values: Collection[float]) -> float:
    """Their mean, summed exactly."""
    return math.fsum(values) / len(values)


def _score(block, qrels, measures, values, source: str) -> None:
    """Add the values of the queries of `qrels`, ranked as in `block`, to `values`."""
    run = {}
    for query_id, ranking in block.items():
        if qrels[query_id] is None:
            raise BackfireError(
                f"{source}: query '{query_id}' has no judgments in the qrels of this split.",
                "the run belongs to other queries; delete it and run again.",
            )
        run[query_id] = {doc_id: -float(position) for position, (doc_id, _) in enumerate(ranking, start=1)}
        if len(run[query_id]) < len(ranking):
            raise BackfireError(
                f"{source}: a passage is ranked more than once for query '{query_id}'.",
                "the corpus holds a doc id twice; remove the copy from the collection and run again.",
            )
    for name, measure in measures.items():
        # One at a time: ir_measures may give nDCG the gains of another measure of the same call.
        try:
            found = {metric.query_id: float(metric.value) for metric in measure.iter_calc(qrels, run)}
        except ZeroDivisionError:
            found = dict.fromkeys(qrels, math.nan)
        undefined = sorted(query_id for query_id, value in found.items() if not math.isfinite(value))
        if undefined:
            raise BackfireError(
                f"{source}: {name} is undefined for a query among {', '.join(undefined[:3])}, ...",
                f"remove {name} from measures: it has no value for every query.",
            )
        values[name].update(found)


def _check_unique(table, key: list[str]) -> None:
    counts = table.group_by(key).aggregate([([], "count_all")])
    twice = counts.filter(counts["count_all"].to_numpy() > 1)
    if len(twice):
        row = twice.slice(0, 1).to_pylist()[0]
        raise BackfireError(
            f"measured twice: {', '.join(f'{column} {row[column]}' for column in key)} ({len(twice)} such rows).",
            "a part was copied over another; delete results/<study>/measures/ and ties/ there, and run again.",
        )


def _check_same_queries(table) -> None:
    """Raise `BackfireError` unless every (variant, seed) has the same (collection, split, measure, query)."""
    found: dict[tuple, set] = {}
    for *run, collection, split, measure, query_id in zip(*(table[column].to_pylist() for column in KEY), strict=True):
        found.setdefault(tuple(run), set()).add((collection, split, measure, query_id))
    (first, expected), *others = found.items()
    for run, rows in others:
        if rows != expected:
            collection, split, measure, query_id = min(rows ^ expected)
            has, lacks = (run, first) if (collection, split, measure, query_id) in rows else (first, run)
            raise BackfireError(
                f"{collection}/{split}: query '{query_id}' has a value of {measure} for {has[0]} seed {has[1]} but "
                f"none for {lacks[0]} seed {lacks[1]} ({len(rows ^ expected)} such).",
                "variants are compared on the same queries; delete results/<study>/measures/ and run again.",
            )
