"""Reranking: the first passages of another system's run, in the order that a cross-encoder gives them.

Nogueira and Cho (2019), "Passage re-ranking with BERT", arXiv 1901.04085.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from backfire.datasets.passages import query_texts, texts_by_id
from backfire.encoders.cross_encoder import CrossEncoder, load_cross_encoder
from backfire.encoders.device import pick_device
from backfire.formats.atomic import write_json
from backfire.formats.trec import Ranking, iterate_run, write_run
from backfire.jobs.logs import progress

# Queries whose passages' texts are held at a time; each time the corpus is read.
HELD = 1000


def rerank(
    run: str | Path,
    queries: str | Path,
    corpus: list[str],
    model: str | Path,
    depth: int,
    max_length: int | None,
    tag: str,
    label: str,
    output: str | Path,
    cost: str | Path,
) -> None:
    """Write the run whose first `depth` passages of each query stand in the order of a cross-encoder's scores.

    What `run` has beyond them follows in its order, with scores below theirs, so that measures deeper than `depth` see
    what they saw. Pairs are cut at `max_length` tokens, or at the model's own limit. `cost` is given the counts of
    queries and pairs and the seconds that scoring took, loading left out. Memory: the rankings of `HELD` queries and
    the texts of the passages that are scored for them.
    """
    asked = query_texts(queries)
    encoder = load_cross_encoder(model, pick_device(), max_length)
    spent = {"queries_reranked": 0, "pairs": 0, "seconds_reranking": 0.0}

    def rankings() -> Iterator[tuple[str, Ranking]]:
        with progress(label, len(asked), "query") as bar:
            found = iterate_run(run)
            while block := list(islice(found, HELD)):
                wanted = {doc_id for _, ranking in block for doc_id, _ in ranking[:depth]}
                texts = texts_by_id(corpus, "corpus", wanted)
                for query_id, ranking in block:
                    start = time.perf_counter()
                    ordered = reranked(encoder, asked[query_id], ranking, texts, depth)
                    spent["seconds_reranking"] += time.perf_counter() - start
                    spent["queries_reranked"] += 1
                    spent["pairs"] += min(depth, len(ranking))
                    bar.update(1)
                    yield query_id, ordered

    write_run(output, rankings(), tag)
    write_json(cost, spent)


def reranked(encoder: CrossEncoder, query: str, ranking: Ranking, texts: dict[str, str], depth: int) -> Ranking:
    """The ranking of one query with its first `depth` passages by score, equal scores by passage id."""
    first = [doc_id for doc_id, _ in ranking[:depth]]
    scores = encoder.scores([(query, texts[doc_id]) for doc_id in first])
    ordered = sorted(zip(first, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))
    return ordered + list(_below(ordered, ranking[depth:]))


def _below(ordered: Ranking, rest: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """The rest in its order, with scores that fall from the lowest by what a float32 can tell apart."""
    score = np.float32(ordered[-1][1]) if ordered else np.float32(0)
    for doc_id, _ in rest:
        score = np.float32(score - np.maximum(np.float32(1), np.abs(np.spacing(score))))
        yield doc_id, float(score)
