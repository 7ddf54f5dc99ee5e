"""What the negatives of a training set are: how hard, how often better than the positive, how often answers themselves.

A passage that answers the query and was never judged is a false negative: training pushes a right answer away. It
cannot be told from a hard negative without reading it, so it is estimated by a judge: the teacher of the set where it
has one, else the base itself (which is also what may be wrong). The rule is that of positive-aware mining (Moreira et
al. 2024, NV-Retriever, arXiv 2407.15831).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.datasets.duplicates import alike, shingles
from backfire.datasets.passages import texts_by_id
from backfire.evaluation.significance.shares import Share, clustered_share
from backfire.explaining.triple_facts import BASE, FACTS, LIKELY, SAMPLE, TEACHER
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_sample
from backfire.negatives.filters import relative_limit
from backfire.negatives.table import base_scores

MARGINS = (0.0, 0.02, LIKELY, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Settings of the filter `relative_margin` that are tried."""


class TripleSet(NamedTuple):
    """A set by its name: its table, and that of its teacher's scores where it has a teacher."""

    name: str
    triples: str
    teacher: str | None


@dataclass(frozen=True)
class _Looked:
    """Negatives of the sampled queries, one for each row of the set: arrays of shape (negatives,)."""

    queries: np.ndarray
    scores: np.ndarray
    positives: np.ndarray
    """The base's score of the positive of the same row."""
    ranks: np.ndarray
    """Of those that have one."""
    duplicates: np.ndarray
    answers: np.ndarray
    judge: str


def examine_triples(
    sets: Sequence[TripleSet],
    corpus: list[str],
    query_embeddings: str,
    embeddings: list[str],
    alpha: float,
    facts: str,
    filters: str,
) -> None:
    """Write the tables `forensics` (`facts`) and `filter_curves` (`filters`) of some sets of triples.

    `corpus` and `embeddings` are the shards that the sets are drawn from and the base's vectors of them,
    `query_embeddings` the base's vectors of the training queries. A share has an interval of 1 - `alpha` over queries
    (see `clustered_share`). Of a set with more than `SAMPLE` queries so many are looked at, drawn by their ids. Memory:
    their texts, one shard of vectors, and the ids of a set.
    """
    rows, curves = [], []
    for each in sets:
        looked = _look(each, corpus, query_embeddings, embeddings)
        found = {"triples": each.name, "judge": looked.judge}
        rows += [found | row for row in _facts(looked, alpha)]
        curves += [found | row for row in _curve(looked, alpha)]
    write_rows(facts, "forensics", rows)
    write_rows(filters, "filter_curves", curves)


def _look(each: TripleSet, corpus: list[str], query_embeddings: str, embeddings: list[str]) -> _Looked:
    table = read_rows(each.triples, "triples", ["query_id", "positive_id", "negative_id", "rank", "base_score"])
    chosen = keyed_sample(pc.unique(table["query_id"]).to_pylist(), SAMPLE, "forensics")
    table = table.filter(pc.is_in(table["query_id"], pa.array(chosen, pa.string()))).combine_chunks()
    asked, positives, negatives = (table[name].combine_chunks() for name in ("query_id", "positive_id", "negative_id"))
    scores = table["base_score"].to_numpy().astype(np.float64)
    own = base_scores(asked, positives, query_embeddings, embeddings).astype(np.float64)
    texts = texts_by_id(corpus, "corpus", {*positives.to_pylist(), *negatives.to_pylist()})
    pairs = list(zip(positives.to_pylist(), negatives.to_pylist(), strict=True))
    answers = scores > relative_limit(own, LIKELY)
    if each.teacher:
        answers = _by_teacher(each.teacher, asked.to_pylist(), pairs)
    return _Looked(
        queries=asked.dictionary_encode().indices.to_numpy(),
        scores=scores,
        positives=own,
        ranks=table["rank"].drop_null().to_numpy(),
        duplicates=_near_duplicates(pairs, texts),
        answers=answers,
        judge=TEACHER if each.teacher else BASE,
    )


def _by_teacher(path: str, asked: list[str], pairs: list[tuple[str, str]]) -> np.ndarray:
    table = read_rows(path, "teacher")
    rows = table.filter(pc.is_in(table["query_id"], pa.array(sorted(set(asked)), pa.string()))).to_pydict()
    score = dict(zip(zip(rows["query_id"], rows["doc_id"], strict=True), rows["teacher_score"], strict=True))
    return np.array(
        [
            score[query, negative] >= score[query, positive]
            for query, (positive, negative) in zip(asked, pairs, strict=True)
        ]
    )


def _near_duplicates(pairs: Sequence[tuple[str, str]], texts: Mapping[str, str]) -> np.ndarray:
    """Whether the two texts of each pair are near duplicates (see `duplicates.alike`)."""
    vocabulary: dict[str, int] = {}
    sets = {doc_id: shingles(texts[doc_id], vocabulary) for pair in pairs for doc_id in pair}
    return np.array([alike(sets[a], sets[b]) for a, b in pairs], dtype=bool)


def _facts(looked: _Looked, alpha: float) -> Iterator[dict[str, Any]]:
    """Rows of the table `forensics`."""
    values = {
        "negatives": float(len(looked.scores)),
        "rank": float(np.median(looked.ranks)) if len(looked.ranks) else None,
        "score": float(np.median(looked.scores)),
        "score_high": float(np.percentile(looked.scores, 90)),
        "positive_score": float(np.median(looked.positives)),
    }
    shares = {
        "above_positive": looked.scores >= looked.positives,
        "near_duplicate": looked.duplicates,
        "likely_answer": looked.answers,
    }
    for name in FACTS:
        if name in shares:
            share = clustered_share(shares[name], looked.queries, alpha)
            yield {"fact": name, "value": share.value, "ci_low": share.low, "ci_high": share.high}
        else:
            yield {"fact": name, "value": values[name], "ci_low": None, "ci_high": None}


def _curve(looked: _Looked, alpha: float) -> Iterator[dict[str, Any]]:
    """Rows of the table `filter_curves`: what a filter of each relative margin keeps, and of it what is an answer.

    Whether what is kept answers is said by a teacher alone: base's own scores are what the filter goes by.
    """
    for margin in MARGINS:
        kept = looked.scores <= relative_limit(looked.positives, margin)
        answers = Share(None, None, None)
        if looked.judge == TEACHER:
            answers = clustered_share(looked.answers[kept], looked.queries[kept], alpha)
        yield {
            "relative_margin": margin,
            "kept": float(np.mean(kept)),
            "score": float(np.median(looked.scores[kept])) if kept.any() else None,
            "answers": answers.value,
            "ci_low": answers.low,
            "ci_high": answers.high,
        }
