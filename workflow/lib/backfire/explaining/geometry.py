"""The shape of an embedding space: how far passages spread, in how many directions, and where queries land.

All quantities are taken on unit-norm vectors, in float64, over a keyed sample of passages, so that two
variants are compared on the same passages.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from backfire.errors import BackfireError
from backfire.explaining.sampling import sample_embeddings, unit_rows
from backfire.formats.embeddings import read_vectors
from backfire.formats.tables import read_rows, write_rows

log = logging.getLogger(__name__)

UNITS = {
    "mean_cosine": "cosine",
    "participation_ratio": "dimensions",
    "effective_rank": "dimensions",
    "uniformity": "log",
    "alignment": "squared distance",
    "relevant_cosine": "cosine",
    "random_cosine": "cosine",
    "margin": "cosine",
    "base_cosine": "cosine",
    "neighbours_kept": "share",
    "sampled_passages": "count",
    "judged_pairs": "count",
}
"""Every quantity of the table, in its order, with its unit."""

# What base has no value of: it is compared with itself.
AGAINST_BASE = ("base_cosine", "neighbours_kept")
NEIGHBOURS = 10

# Below this total variance the spread of unit vectors is rounding of float32, which has no shape to speak of.
COLLAPSED = 1e-12
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
    values = passage_statistics(passages) | pair_statistics(
        np.stack([vectors[query] for query, _ in present]),
        np.stack([relevant[doc] for _, doc in present]),
        passages,
    )
    if base:
        values |= base_statistics(passages, sample_embeddings(base, sample, sample_seed)[1])
    values |= {"sampled_passages": len(ids), "judged_pairs": len(present)}
    log.info("%s seed %d on %s: %s", variant, seed, collection, values)
    rows = [
        {"variant": variant, "seed": seed, "collection": collection}
        | {
            "quantity": quantity,
            "value": None if values[quantity] is None else float(values[quantity]),
            "unit": unit,
        }
        for quantity, unit in UNITS.items()
        if quantity in values
    ]
    write_rows(output, "geometry", rows)


def collect_geometry(tables: Iterable[str | Path], output: str | Path) -> None:
    """Write the `geometry` tables of all models as one, in the order given."""
    write_rows(output, "geometry", pa.concat_tables([read_rows(table, "geometry") for table in tables]))


def passage_statistics(passages: np.ndarray) -> dict[str, float | None]:
    """What can be said of unit-norm passages (passages, dimensions) alone; needs at least two."""
    eigenvalues = spectrum(passages)
    return {
        "mean_cosine": mean_cosine(passages),
        "participation_ratio": participation_ratio(eigenvalues),
        "effective_rank": effective_rank(eigenvalues),
        "uniformity": uniformity(passages),
    }


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


def mean_cosine(vectors: np.ndarray) -> float:
    """Mean cosine over all pairs of different rows of `vectors` (n, dimensions), unit norm; in [-1/(n-1), 1].

    The anisotropy of Ethayarajh (2019), "How Contextual are Contextualized Word Representations?", EMNLP.
    """
    count = len(vectors)
    total = vectors.sum(axis=0)
    return float((total @ total - np.einsum("ij,ij->", vectors, vectors)) / (count * (count - 1)))


def spectrum(vectors: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance of `vectors` (n, dimensions), largest first."""
    centred = vectors - vectors.mean(axis=0)
    return np.linalg.svd(centred, compute_uv=False) ** 2 / len(vectors)


def participation_ratio(eigenvalues: np.ndarray) -> float | None:
    """`(sum l)^2 / sum l^2`: in how many directions the variance is spread, from 1 to dimensions.

    Gao et al. (2017), "A theory of multineuronal dimensionality, dynamics and measurement", bioRxiv 214262.
    None when there is no variance.
    """
    total = eigenvalues.sum()
    return float(total**2 / (eigenvalues**2).sum()) if total > COLLAPSED else None


def effective_rank(eigenvalues: np.ndarray) -> float | None:
    """`exp(-sum p log p)` with `p = l / sum l`, the eigenvalues of the covariance; from 1 to dimensions.

    Roy & Vetterli (2007), "The effective rank: a measure of effective dimensionality", EUSIPCO, taken of the
    covariance matrix, whose singular values are its eigenvalues. None when there is no variance.
    """
    total = eigenvalues.sum()
    if total <= COLLAPSED:
        return None
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


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
