"""The shape of an embedding space: how far passages spread, in how many directions, and where queries land.

All statistics (see `statistics`) but those of length (see `lengths`) are taken on unit-norm vectors, in float64: those
that sums over the corpus give, over all passages (see `moments`), those of pairs of passages over a keyed sample, the
same for every variant.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from backfire.errors import BackfireError
from backfire.explaining.lengths import length_statistics
from backfire.explaining.moments import corpus_moments, flattening, likeness, space_statistics, whole
from backfire.explaining.sampling import sample_embeddings, unit_rows
from backfire.explaining.statistics import NEIGHBOURS, STATISTICS
from backfire.formats.embeddings import read_vectors
from backfire.formats.tables import read_rows, write_rows

log = logging.getLogger(__name__)

BLOCK = 1024


def measure_geometry(
    shards: Iterable[str | Path],
    base: Iterable[str | Path],
    queries: str | Path,
    qrels: str | Path,
    variant: str,
    seed: int,
    collection: str,
    sample: int,
    sample_seed: int,
    relevant_from: int,
    output: str | Path,
) -> None:
    """Write the table `geometry` of one model on one collection.

    `shards` are passage embeddings, `base` those of the base model, none where the model is base itself, `queries` the
    query embeddings and `qrels` the judgments of one split, where passages of grade `relevant_from` or more are
    relevant.
    A quantity that is undefined (the spectrum of a space that has collapsed to a point) is written as null, and those
    that compare with base are left out of base's own table.
    Raises `BackfireError` for fewer than two passages, and when no passage is judged relevant or no relevant pair is
    among the embeddings.
    """
    shards, base = list(shards), list(base)
    judged = read_rows(qrels, "qrels").to_pylist()
    pairs = [(row["query_id"], row["doc_id"]) for row in judged if row["relevance"] >= relevant_from]
    if not pairs:
        raise BackfireError(
            f"{qrels}: none of its {len(judged)} judgments is of grade {relevant_from} or more.",
            "lower the split's entry in relevance of the collection, or leave it out.",
        )
    ids, passages, relevant = sample_embeddings(shards, sample, sample_seed, also={doc for _, doc in pairs})
    if len(ids) < 2:
        raise BackfireError(
            f"{collection}: {len(ids)} passage in the embeddings, expected at least 2 to measure a geometry.",
            "raise geometry.sample, or use a larger collection.",
        )
    query_ids, matrix = read_vectors(queries, "query_id")
    vectors = dict(zip(query_ids, unit_rows(matrix, query_ids), strict=True))
    present = sorted((query, doc) for query, doc in pairs if query in vectors and doc in relevant)
    if not present:
        raise BackfireError(
            f"{qrels}: none of its {len(pairs)} relevant pairs is embedded in {queries} and the corpus.",
            "the judgments belong to another collection; check collections in the configuration.",
        )
    if len(present) < len(pairs):
        log.warning("%d of %d relevant pairs are not embedded and are left out", len(pairs) - len(present), len(pairs))
    groups = corpus_moments(shards, base)
    moments = whole(groups)
    values = space_statistics(moments) | length_statistics(shards) | {"uniformity": uniformity(passages)}
    values |= pair_statistics(
        np.stack([vectors[query] for query, _ in present]),
        np.stack([relevant[doc] for _, doc in present]),
        passages,
    )
    values |= query_statistics(vectors, present, relevant, ids, passages)
    if base:
        values |= base_statistics(passages, sample_embeddings(base, sample, sample_seed)[1]) | likeness(moments)
        values |= flattening(groups)
    values |= {"sampled_passages": len(ids), "judged_pairs": len(present)}
    log.info("%s seed %d on %s: %s", variant, seed, collection, values)
    rows = [
        {"variant": variant, "seed": seed, "collection": collection}
        | {
            "quantity": quantity,
            "value": None if values[quantity] is None else float(values[quantity]),
            "unit": statistic.unit,
        }
        for quantity, statistic in STATISTICS.items()
        if quantity in values
    ]
    write_rows(output, "geometry", rows)


def collect_geometry(tables: Iterable[str | Path], output: str | Path) -> None:
    """Write the `geometry` tables of all models as one, in the order given."""
    write_rows(output, "geometry", pa.concat_tables([read_rows(table, "geometry") for table in tables]))


def pair_statistics(queries: np.ndarray, relevant: np.ndarray, passages: np.ndarray) -> dict[str, float]:
    """Where unit-norm queries (pairs, dimensions) land; row i of `relevant` is relevant to query i.

    `random_cosine` is the mean cosine of these queries to the sampled `passages` (passages, dimensions), and
    `margin` is `relevant_cosine` minus it: how far a relevant passage stands out from the corpus. The few
    sampled passages that are themselves relevant stay in, which makes the margin a little smaller.
    """
    close = float(np.einsum("ij,ij->i", queries, relevant).mean())
    random = float(queries.mean(axis=0) @ passages.mean(axis=0))
    return {
        "alignment": alignment(queries, relevant),
        "relevant_cosine": close,
        "random_cosine": random,
        "margin": close - random,
    }


def query_statistics(
    queries: dict[str, np.ndarray],
    pairs: list[tuple[str, str]],
    relevant: dict[str, np.ndarray],
    ids: list[str],
    passages: np.ndarray,
) -> dict[str, float | None]:
    """What stands near queries (unit norm, by id) among the sampled `passages` (ids, dimensions).

    `hardest_margin` is the mean, over the (query, relevant passage) `pairs`, of the cosine of the pair less that of the
    nearest sampled passage that is not relevant to the query. `hubness` is the skewness of how often a passage is among
    the `NEIGHBOURS` nearest of a query, `antihubs` the share that never is.
    """
    places = {doc_id: place for place, doc_id in enumerate(ids)}
    answers: dict[str, list[str]] = {}
    for query, doc in pairs:
        answers.setdefault(query, []).append(doc)
    number, names = min(NEIGHBOURS, len(ids)), sorted(queries)
    seen, margins = np.zeros(len(ids)), []
    for start in range(0, len(names), BLOCK):
        asked = names[start : start + BLOCK]
        matrix = np.stack([queries[query] for query in asked])
        cosines = matrix @ passages.T
        nearest = np.argpartition(-cosines, number - 1, axis=1)[:, :number]
        seen += np.bincount(nearest.ravel(), minlength=len(ids))
        for query, row, vector in zip(asked, cosines, matrix, strict=True):
            if found := answers.get(query):
                row[[places[doc] for doc in found if doc in places]] = -np.inf
                margins += [vector @ relevant[doc] - row.max() for doc in found]
    spread = seen.std()
    margins = [margin for margin in margins if np.isfinite(margin)]
    return {
        "hardest_margin": float(np.mean(margins)) if margins else None,
        "hubness": float(((seen - seen.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0,
        "antihubs": float((seen == 0).mean()),
    }


def base_statistics(passages: np.ndarray, base: np.ndarray) -> dict[str, float | None]:
    """How far unit-norm passages (passages, dimensions) have moved from where `base` has them, row by row.

    `base_cosine` is the mean cosine of a passage to its place in base, None where the two spaces differ in their
    number of dimensions; `neighbours_kept` the mean share of a passage's nearest `NEIGHBOURS` in base that are still
    among its nearest, of the sampled passages alone.
    """
    same = passages.shape == base.shape
    return {
        "base_cosine": float(np.einsum("ij,ij->i", passages, base).mean()) if same else None,
        "neighbours_kept": neighbours_kept(passages, base),
    }


def neighbours_kept(passages: np.ndarray, base: np.ndarray, number: int = NEIGHBOURS) -> float:
    """Mean share of the `number` nearest rows of each row of `base` that are among the nearest in `passages`.

    Rows are unit norm and as many in both; a row is not its own neighbour. With no more rows than `number` it is 1.
    """
    count, shared = len(passages), 0
    number = min(number, count - 1)
    for start in range(0, count, BLOCK):
        nearest = []
        for vectors in (base, passages):
            cosines = vectors[start : start + BLOCK] @ vectors.T
            rows = np.arange(len(cosines))
            cosines[rows, start + rows] = -np.inf
            nearest.append(np.sort(np.argpartition(-cosines, number - 1, axis=1)[:, :number], axis=1))
        shared += sum(len(np.intersect1d(*pair, assume_unique=True)) for pair in zip(*nearest, strict=True))
    return shared / (count * number)


def uniformity(vectors: np.ndarray) -> float:
    """`log mean exp(-2 |x - y|^2)` over pairs of different rows of `vectors` (n, dimensions), unit norm.

    0 when all coincide, towards -4 when they spread over the sphere. Wang & Isola (2020), "Understanding
    Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere", ICML, with t =
    2.
    """
    count, total = len(vectors), 0.0
    for start in range(0, count, BLOCK):
        cosines = np.clip(vectors[start : start + BLOCK] @ vectors.T, -1.0, 1.0)
        total += np.exp(-4.0 * (1.0 - cosines)).sum()  # |x - y|^2 = 2 - 2 cos for unit vectors
    # A row's pair with itself adds exp(0), up to rounding of its norm.
    return float(np.log((total - count) / (count * (count - 1))))


def alignment(queries: np.ndarray, relevant: np.ndarray) -> float:
    """Mean squared distance of row i of `queries` and of `relevant` (pairs, dimensions), in [0, 4].

    Wang & Isola (2020) with alpha = 2, the positive pairs being a query and a passage judged relevant.
    """
    return float(((queries - relevant) ** 2).sum(axis=1).mean())
