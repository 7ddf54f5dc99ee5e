"""Which queries a variant moves, and what kind of queries they are: the tables `moved` and `strata`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from backfire.datasets.passages import texts_by_id
from backfire.errors import BackfireError
from backfire.evaluation.measures import read_qrels
from backfire.explaining.queries.answers import answers_of, find_answers
from backfire.explaining.queries.moved import most_moved, moves, with_texts
from backfire.explaining.queries.paired import BASE, Paired, read_paired
from backfire.explaining.queries.replaced import GAIN, LOSS, adjusted, counted, exchanges, hubs, kinds
from backfire.explaining.queries.replaced import wanted as texts_wanted
from backfire.explaining.queries.strata import factors_of, strata
from backfire.formats.tables import write_rows
from backfire.formats.trec import iterate_run

log = logging.getLogger(__name__)


def explain_queries(
    measures: str | Path,
    models: Sequence[Sequence],
    runs: Sequence[str | Path],
    qrels: str | Path,
    queries: str | Path,
    corpus: Sequence[str | Path],
    primary: Sequence[str],
    relevant_from: int,
    depth: int,
    alpha: float,
    resamples: int,
    seed: int,
    moved_table: str | Path,
    strata_table: str | Path,
    replaced_table: str | Path,
    exchanges_table: str | Path,
) -> None:
    """Write the tables `moved`, `strata`, `replaced` and `exchanges` at the primary measure (see the modules so named).

    `models` are (variant, first seed) of base and every trained variant, `runs` their rankings of the primary split,
    `depth` passages deep; `primary` is (collection, split, measure), `relevant_from` the lowest relevant grade.
    Memory is bounded by one ranking, the rankings of moved queries, the first passages of all queries by base and by
    one variant, and the texts of answers and of passages named.

    Raises `BackfireError` when a variant was not measured, or not on the queries of base, or on other queries than
    are judged.
    """
    paired = read_paired(measures, models, primary)
    judged = read_qrels(qrels)
    if judged.keys() != set(paired.queries):
        raise BackfireError(
            f"{qrels}: {len(judged)} queries are judged, {len(paired.queries)} were measured on "
            f"{'/'.join(primary[:2])}, and they are not the same.",
            "the judgments changed after the runs were measured; delete results/<study>/measures/ and run again.",
        )
    answers = answers_of(judged, relevant_from)
    chosen = {variant: _most_moved(paired, variant) for variant in paired.seeds}
    paths = {variant: path for (variant, _), path in zip(models, runs, strict=True)}
    base = find_answers(iterate_run(paths[BASE]), answers, set().union(*chosen.values()))
    found, changed, hubs_of = [], {}, {}
    for variant in paired.seeds:
        tuned = find_answers(iterate_run(paths[variant]), answers, chosen[variant])
        found += moves(paired, variant, answers, base, tuned)
        changed[variant] = exchanges(paired, variant, base, tuned)
        # What has come to be returned for many queries takes places; what no longer is gives them up.
        pairs = {LOSS: (base.first, tuned.first), GAIN: (tuned.first, base.first)}
        hubs_of[variant] = {direction: hubs(*lists, alpha) for direction, lists in pairs.items()}
    texts = texts_by_id([queries], "queries", paired.queries)
    wanted = {doc_id for relevant in answers.values() for doc_id in relevant}
    named = [move.doc_ids for move in found] + [texts_wanted(each) for each in changed.values()]
    passages = texts_by_id(corpus, "corpus", wanted.union(*named))
    rows = strata(paired, factors_of(paired, answers, base, texts, passages, depth), alpha, resamples, seed)
    for row in rows:
        if row["place"] == 1 and row["p_adjusted"] is not None:
            log.info(
                "%s by %s: rho %+.3f, adjusted p %.4f", row["variant"], row["factor"], row["rho"], row["p_adjusted"]
            )
    write_rows(moved_table, "moved", [with_texts(move, texts, passages) for move in found])
    write_rows(strata_table, "strata", rows)
    replaced, told = [], []
    for variant, each in changed.items():
        found_kinds = kinds(each, hubs_of[variant], texts, passages)
        replaced += counted(paired, variant, found_kinds, hubs_of[variant])
        told += [vars(exchange) | {"kind": kind} for exchange, kind in found_kinds.items()]
    write_rows(replaced_table, "replaced", adjusted(replaced))
    write_rows(exchanges_table, "exchanges", told)


def _most_moved(paired: Paired, variant: str) -> set[str]:
    """Ids of the queries that a variant moved most, either way."""
    places = most_moved(paired.difference(variant), paired.queries)
    return {paired.queries[place] for direction in places.values() for place in direction}
