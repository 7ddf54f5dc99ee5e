"""Static-embedding models: a text's vector is the mean of its tokens' vectors, looked up in one table.

Run by numpy and tokenizers alone, so that a job starts in half a second; the layout is that of
`sentence_transformers.models.StaticEmbedding`.
"""

import json
import logging
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError

logger = logging.getLogger(__name__)

TOKENIZER, WEIGHTS = "tokenizer.json", "model.safetensors"


class StaticEncoder:
    """A tokenizer and a table of float32 vectors (vocabulary, dimensions); the interface is that of `Encoder`."""

    def __init__(self, tokenizer, table: np.ndarray, prompts: dict[str, str] | None = None):
        """`tokenizer` is a `tokenizers.Tokenizer`; a truncation that it carries is the model's own limit."""
        tokenizer.no_padding()
        self._limit = (tokenizer.truncation or {}).get("max_length")
        self._tokenizer = tokenizer
        self._table = table
        self._prompts = prompts or {}

    def tokenize(self, texts: list[str], kind: str, max_length: int) -> list[list[int]]:
        """Token ids of each text, without special tokens, cut at `max_length`, behind the model's prompt for `kind`.

        sentence-transformers knows no maximum length for such models; up to `max_length` tokens the two agree.
        """
        if self._limit is not None and max_length > self._limit:
            raise BackfireError(
                f"max_length: {max_length} tokens, but this model takes at most {self._limit}.",
                "lower encoding.max_length or the variant's max_length.",
            )
        self._tokenizer.enable_truncation(max_length)
        prompt = self._prompts.get(kind, "")
        inputs = [prompt + text for text in texts] if prompt else texts
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(inputs, add_special_tokens=False)]

    def embed(self, batch: list) -> np.ndarray:
        """Unit vectors of shape (len(batch), dimensions), float32; zeros for a text without tokens.

        Each text's vectors are summed on their own, so its bits do not depend on what shares the batch.
        """
        counts = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
        vectors = np.zeros((len(batch), self._table.shape[1]), dtype=np.float32)
        some = np.flatnonzero(counts)
        if len(some):
            tokens = np.concatenate([np.asarray(batch[row], dtype=np.int64) for row in some])
            starts = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
            vectors[some] = np.add.reduceat(self._table[tokens], starts, axis=0)
            vectors[some] /= counts[some, None].astype(np.float32)
            norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)).astype(np.float32)
            vectors /= np.maximum(norms, np.float32(1e-12))[:, None]
        return vectors


def static_module(folder: Path) -> Path | None:
    """Folder of the embedding module for the layout StaticEmbedding[, Normalize]; None for any other."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    return folder / modules[0]["path"] if kinds in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]) else None


def load_static(module: Path, precision: str, prompts: dict[str, str]) -> StaticEncoder:
    """Load the static embeddings in the folder `module`; always fp32 on the CPU, whatever the `precision`.

    Raises `BackfireError` for weights that are not a plain table of float vectors, one row for each token.
    """
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    if precision not in ("auto", "fp32"):
        logger.warning("precision %s has no effect: static embeddings are computed in fp32", precision)
    tokenizer = Tokenizer.from_file(str(module / TOKENIZER))
    weights = load_file(module / WEIGHTS)
    table = weights.get("embedding.weight")
    if table is None or table.ndim != 2 or table.dtype.kind != "f" or len(table) < tokenizer.get_vocab_size():
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in weights.items())
        raise BackfireError(
            f"{module / WEIGHTS}: holds {found}, expected embedding.weight of floats with a row for each of the "
            f"{tokenizer.get_vocab_size()} tokens.",
            "save the model with SentenceTransformer.save_pretrained; other layouts of static models are not read.",
        )
    return StaticEncoder(tokenizer, np.ascontiguousarray(table, dtype=np.float32), prompts)
