"""Scores of a teacher: a stronger model's opinion of each query with the passages of its examples.

Hofstätter et al. (2020), "Improving efficient neural ranking models with cross-architecture knowledge distillation",
arXiv 2010.02666.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from backfire.datasets.passages import texts_by_id
from backfire.encoders.base import prepare_base
from backfire.encoders.cross_encoder import load_cross_encoder, prepare_cross_encoder
from backfire.encoders.device import pick_device
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.encoders.similarity import EUCLIDEAN
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_batches
from backfire.jobs.logs import progress
from backfire.study.judge import CROSS_ENCODER

# Pairs that are scored between two looks at the clock; the library sorts them by length.
BLOCK = 1024


def prepare_teacher(kind: str, name: str, sha256: str | None, output: str, where: str) -> None:
    """Copy a verified teacher, a cross-encoder or a bi-encoder, to a folder.

    Raises `BackfireError` as `prepare_cross_encoder` and `prepare_base` do.
    """
    prepare = prepare_cross_encoder if kind == CROSS_ENCODER else prepare_base
    prepare(name=name, sha256=sha256, output=output, where=where)


def score_teacher(
    triples: str,
    queries: str,
    corpus: list[str],
    model: str,
    kind: str,
    max_length: int | None,
    label: str,
    output: str,
) -> None:
    """Write the table `teacher`: a score for each query with each positive and negative of its examples, once.

    Those of a cross-encoder are logits (see `encoders.cross_encoder`), those of a bi-encoder the similarity that the
    model was made for. Texts are cut at `max_length` tokens. Memory: the texts of all examples, and for a bi-encoder
    their vectors.
    """
    pairs = _pairs(triples)
    asked = texts_by_id([queries], "queries", pairs["query_id"].unique().to_pylist())
    texts = texts_by_id(corpus, "corpus", pairs["doc_id"].unique().to_pylist())
    ids = (pairs["query_id"].to_pylist(), pairs["doc_id"].to_pylist())
    worded = [(asked[query_id], texts[doc_id]) for query_id, doc_id in zip(*ids, strict=True)]

    def batches() -> Iterator[pa.Table]:
        start = 0
        for scores in score_pairs(model, kind, max_length, worded, label):
            some = [column[start : start + len(scores)] for column in ids]
            start += len(scores)
            yield pa.table([*some, scores], schema=SCHEMAS["teacher"])

    write_batches(output, "teacher", batches())


def score_pairs(
    model: str, kind: str, max_length: int | None, pairs: list[tuple[str, str]], label: str
) -> Iterator[np.ndarray]:
    """Scores, float32, of each (query, passage) by a teacher in the folder `model`, in arrays one after another.

    See `score_teacher`.
    """
    score = _by_cross_encoder if kind == CROSS_ENCODER else _by_bi_encoder
    return score(model, max_length, pairs, label)


def _pairs(triples: str) -> pa.Table:
    """Each query with each of its passages once, columns query_id and doc_id, in the order of the examples."""
    table = read_rows(triples, "triples", columns=["query_id", "positive_id", "negative_id"])
    both = zip(
        table["query_id"].to_pylist(), table["positive_id"].to_pylist(), table["negative_id"].to_pylist(), strict=True
    )
    pairs = dict.fromkeys(pair for query, *passages in both for pair in ((query, each) for each in passages))
    return pa.table(list(zip(*pairs, strict=True)), names=["query_id", "doc_id"])


def _by_cross_encoder(
    model: str, max_length: int | None, pairs: list[tuple[str, str]], label: str
) -> Iterator[np.ndarray]:
    encoder = load_cross_encoder(model, pick_device(), max_length)
    with progress(label, len(pairs), "pair") as bar:
        for start in range(0, len(pairs), BLOCK):
            some = pairs[start : start + BLOCK]
            yield encoder.scores(some)
            bar.update(len(some))


def _by_bi_encoder(model: str, max_length: int, pairs: list[tuple[str, str]], label: str) -> Iterator[np.ndarray]:
    encoder = load_encoder(model, "fp32")
    sides = [list(dict.fromkeys(side)) for side in zip(*pairs, strict=True)]
    with progress(label, sum(map(len, sides)), "text") as bar:
        queries, passages = (
            dict(zip(side, encode(encoder, side, kind, max_length, bar=bar), strict=True))
            for side, kind in zip(sides, ("query", "document"), strict=True)
        )
    if encoder.similarity == EUCLIDEAN:
        yield np.array([-np.linalg.norm(queries[query] - passages[passage]) for query, passage in pairs], np.float32)
    else:
        yield np.array([np.dot(queries[query], passages[passage]) for query, passage in pairs], np.float32)
