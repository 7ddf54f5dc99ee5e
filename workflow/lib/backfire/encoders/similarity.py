"""How vectors are compared: by cosine, dot product or Euclidean distance, all searched as inner products.

The nearest of passages p to a query q by distance are those with the largest q.p - |p|^2 / 2, since
|q - p|^2 = |q|^2 - 2 (q.p - |p|^2 / 2). So a passage's vector gets that last term as one number more, and a query's a 1
(Bachrach et al. 2014, "Speeding up the Xbox recommender system using a Euclidean transformation for inner-product
spaces", the other way round). The number is rounded to float32: distances that differ by less than half a unit in the
last place of |p|^2 may change places.
"""

from collections.abc import Mapping

import numpy as np

COSINE, DOT, EUCLIDEAN = "cosine", "dot", "euclidean"
NAMES: Mapping[str, str] = {COSINE: "cosine similarity", DOT: "the dot product", EUCLIDEAN: "Euclidean distance"}


def searchable(vectors: np.ndarray, kind: str, similarity: str) -> np.ndarray:
    """Vectors of queries or documents, (texts, dimensions) float32, as a search by inner products takes them.

    Those of a model for Euclidean distances have one dimension more; all others are the same ones.
    """
    if similarity != EUCLIDEAN:
        return vectors
    if kind == "query":
        more = np.ones(len(vectors), np.float32)
    else:
        more = (-0.5 * np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)).astype(np.float32)
    return np.concatenate([vectors, more[:, None]], axis=1)


def similarities(products: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Minus the Euclidean distances, as sentence-transformers gives them, of inner products with searchable passages.

    `products` (pairs,) belong to the rows of `queries` (pairs, dimensions), whose last number is the 1.
    """
    lengths = np.einsum("ij,ij->i", queries[:, :-1], queries[:, :-1], dtype=np.float64)
    return -np.sqrt(np.maximum(lengths - 2.0 * products, 0.0))
