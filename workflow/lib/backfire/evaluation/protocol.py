"""What each choice of the evaluation protocol is worth: base again, one factor at a time against the study's own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backfire.evaluation.measures import Values, read_qrels, score_run
from backfire.evaluation.significance.intervals import bootstrap_interval
from backfire.evaluation.ties import TIES, ordered_ties
from backfire.formats.delimited import write_csv
from backfire.formats.tables import write_rows
from backfire.formats.trec import Ranking, iterate_run
from backfire.keyed import keyed_rng
from backfire.study.measure_names import measure_named


def compare_protocols(
    run: str | Path,
    qrels: str | Path,
    others: Sequence[str | Path],
    choices: Sequence[Sequence[str | int]],
    own: Mapping[str, str | int],
    place: Sequence[str],
    measures: Sequence[str],
    relevant_from: int,
    depth: int,
    alpha: float,
    resamples: int,
    seed: int,
    parquet: str | Path,
    csv: str | Path,
) -> None:
    """Compare runs of base under other protocols with its `run` in the study and write the table `protocol`, twice.

    `others` are the runs under `choices`, (factor, value) each; `own` is what the study does, by factor; `place` is
    (collection, split). One factor needs no other run: equal scores, ordered by id here, are ordered as `ordered_ties`
    says for runs of `depth` passages.
    `delta` is the choice less the study's own, paired by query, with a BCa bootstrap interval at confidence 1 -
    `alpha`, not adjusted for the number of rows. Raises `BackfireError` as `score_run` does.
    """
    judged = read_qrels(qrels)
    named = {name: measure_named(name, relevant_from) for name in measures}

    def scored(rankings: Iterable[tuple[str, Ranking]], source: str) -> Values:
        return score_run(rankings, judged, named, source)

    base = scored(iterate_run(run), str(run))
    factors: dict[str, list[tuple[str, Values]]] = {}
    for (factor, value), other in zip(choices, others, strict=True):
        factors.setdefault(factor, [(str(own[factor]), base)])
        factors[factor].append((str(value), scored(iterate_run(other), str(other))))
    factors["ties"] = [("by passage id", base)]
    for order in TIES:
        rankings = ordered_ties(iterate_run(run), judged, order == "best", depth)
        factors["ties"].append((order, scored(rankings, str(run))))

    rows = []
    for factor, alternatives in factors.items():
        for choice, values in alternatives:
            for name in measures:
                key = ("protocol", seed, factor, choice, *place, name)
                rows.append(
                    {"collection": place[0], "split": place[1], "factor": factor, "choice": choice, "measure": name}
                    | _difference(values[name], base[name], values is base, alpha, resamples, key)
                )
    write_rows(parquet, "protocol", rows)
    write_csv(csv, "protocol", rows)


def _difference(
    values: dict[str, float], base: dict[str, float], own: bool, alpha: float, resamples: int, key: Sequence[str | int]
) -> dict[str, Any]:
    """Mean, paired difference from `base` with its interval, and the number of queries that changed."""
    queries = sorted(base)
    found = np.array([values[query_id] for query_id in queries])
    differences = found - np.array([base[query_id] for query_id in queries])
    low, high = None, None
    if not own:
        low, high = bootstrap_interval(differences, 1 - alpha, resamples, keyed_rng(*key)) or (None, None)
    return {
        "own": own,
        "queries": len(queries),
        "mean": float(found.mean()),
        "delta": float(differences.mean()),
        "ci_low": low,
        "ci_high": high,
        "changed": int((differences != 0).sum()),
    }
