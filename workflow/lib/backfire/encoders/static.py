"""Static-embedding models: a text's vector is the mean of its tokens' vectors, looked up in one table.

Run by numpy and tokenizers alone, so that a job starts in half a second; the layout is that of
sentence-transformers' `StaticEmbedding`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from backfire.encoders.folders import WEIGHTS, modules_of
from backfire.encoders.similarity import COSINE
from backfire.encoders.tokens import ModelTokenizer, Tokens, fast_tokenizer
from backfire.errors import BackfireError
from backfire.formats.embeddings import NO_PRODUCTS
from backfire.formats.weights import read_weights


class StaticEncoder:
    """A tokenizer and a table of float32 vectors (vocabulary, dimensions); the interface is that of `Encoder`."""

    batch_tokens = 8192
    steady_tokens = 1
    arithmetic = NO_PRODUCTS
    similarity = COSINE

    def __init__(self, tokenizer: ModelTokenizer, table: np.ndarray):
        """`tokenizer` adds no special tokens."""
        self.tokenizer = tokenizer
        self._table = table

    def tokenize(self, texts: list[str], kind: str, max_length: int) -> Tokens:
        """Token ids of each text, without special tokens (see `ModelTokenizer.tokenize`).

        sentence-transformers knows no maximum length for such models; up to `max_length` tokens the two agree.
        """
        return self.tokenizer.tokenize(texts, kind, max_length)

    def embed(self, tokens: Tokens, kind: str, rows=None) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (texts, dimensions) and norms (texts,), float32, of the texts in `rows`, or of all.

        A norm is the length of the mean of a text's vectors, whose direction is given; without tokens both are zero.
        Each text's vectors are summed on their own, so its bits do not depend on what shares the batch.
        """
        ids, mask = tokens.padded(range(len(tokens)) if rows is None else rows)
        counts = mask.sum(axis=1)
        vectors = np.zeros((len(ids), self._table.shape[1]), dtype=np.float32)
        norms = np.zeros(len(ids), dtype=np.float32)
        some = np.flatnonzero(counts)
        if len(some):
            starts = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
            vectors[some] = np.add.reduceat(self._table[ids[mask.astype(bool)]], starts, axis=0)
            vectors[some] /= counts[some, None].astype(np.float32)
            norms[:] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
            vectors /= np.maximum(norms, np.float32(1e-12))[:, None]
        return vectors, norms

    def begin(self, tokens: Tokens, kind: str, rows=None) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """As `Encoder.begin`; all is done before this returns."""
        found = self.embed(tokens, kind, rows)
        return lambda: found


def static_module(folder: Path) -> Path | None:
    """Folder of the embedding module for the layout StaticEmbedding[, Normalize]; None for any other."""
    modules = modules_of(folder)
    kinds = [kind for kind, _ in modules]
    return modules[0][1] if kinds in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]) else None


def load_static(folder: Path) -> StaticEncoder:
    """Load a model for which `static_module` gives an answer; always fp32 on the CPU.

    Raises `BackfireError` for weights that are not a plain table of float vectors, one row for each token.
    """
    tokenizer, path = fast_tokenizer(folder), static_module(folder) / WEIGHTS
    weights = read_weights(path, "numpy")
    table = weights.get("embedding.weight")
    if table is None or table.ndim != 2 or table.dtype.kind != "f" or len(table) < tokenizer.vocabulary_size:
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in weights.items())
        raise BackfireError(
            f"{path}: holds {found}, expected embedding.weight of floats with a row for each of the "
            f"{tokenizer.vocabulary_size} tokens.",
            "save the model with SentenceTransformer.save_pretrained; other layouts of static models are not read.",
        )
    return StaticEncoder(tokenizer, np.ascontiguousarray(table, dtype=np.float32))
