"""Reciprocal rank fusion: one ranking from several, by the ranks alone.

Cormack, Clarke and Buettcher (2009), "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", SIGIR. Scores of systems that cannot be compared (BM25, a cosine) need not be.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.formats.tables import read_rows
from backfire.formats.trec import Ranking, iterate_run, write_run


def fuse_runs(
    runs: Sequence[str | Path], queries: str | Path, k: float, depth: int, tag: str, output: str | Path
) -> None:
    """Write the run in which a passage's score is the sum over `runs` of 1 / (k + its rank), the first `depth` of each.

    `queries` is the table that the runs were made for, in whose order their queries stand. Raises `BackfireError` for a
    run whose queries are in another order or of another set.
    """
    order = read_rows(queries, "queries")["query_id"].to_pylist()
    aligned = [_aligned(run, order) for run in runs]
    fused = ((query, fuse(rankings, k)[:depth]) for query, *rankings in zip(order, *aligned, strict=True))
    write_run(output, ((query, ranking) for query, ranking in fused if ranking), tag)


def fuse(rankings: Iterable[Ranking], k: float) -> Ranking:
    """Passages of several rankings with the sum of 1 / (k + rank), highest first; equal sums by passage id.

    Sums are those that a run holds, float32, so that the order is that of what is written.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, (doc_id, _) in enumerate(ranking, start=1):
            scores[doc_id] = scores.get(doc_id, 0.0) + 1 / (k + rank)
    rounded = [(doc_id, float(np.float32(score))) for doc_id, score in scores.items()]
    return sorted(rounded, key=lambda hit: (-hit[1], hit[0]))


def _aligned(run: str | Path, order: list[str]) -> Iterator[Ranking]:
    """The ranking of each query of `order`, empty where the run has none."""
    found = iterate_run(run)
    query, ranking = next(found, (None, []))
    for wanted in order:
        if query == wanted:
            yield ranking
            query, ranking = next(found, (None, []))
        else:
            yield []
    if query is not None:
        raise BackfireError(
            f"{run}: query '{query}' is not where the table of queries has it.",
            "the run was made for another query set; delete it and run again.",
        )
