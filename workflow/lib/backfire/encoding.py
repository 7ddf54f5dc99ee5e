"""Encoding: texts to unit vectors, in batches of texts of equal padded length."""

import time
from collections.abc import Iterator

import numpy as np

from backfire.encoder import Encoder, load_encoder, padded
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows, write_embeddings
from backfire.logs import progress
from backfire.resources import peak_memory


def encode(
    encoder: Encoder,
    texts: list[str],
    kind: str,
    max_length: int,
    batch_tokens: int,
    label: str | None = None,
) -> np.ndarray:
    """Unit vectors of `texts`, float32 of shape (len(texts), dimensions), in the order given.

    `kind` is `query` or `document` and chooses the model's prompt. A batch holds at most `batch_tokens` tokens with
    padding, at least one text. A text's vector does not depend on the texts that share its batch (on a CPU to the
    last bit; a GPU may choose another kernel for another batch size). Progress is shown under `label`, if any.
    """
    tokens = encoder.tokenize(texts, kind, max_length)
    vectors: np.ndarray | None = None
    with progress(label, len(texts), "text") as bar:
        for rows in token_batches([padded(len(ids)) for ids in tokens], batch_tokens):
            part = encoder.embed([tokens[row] for row in rows]).cpu().numpy()
            if vectors is None:
                vectors = np.empty((len(texts), part.shape[1]), dtype=np.float32)
            vectors[rows] = part
            bar.update(len(rows))
    return np.empty((0, 0), dtype=np.float32) if vectors is None else vectors


def token_batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Row numbers in batches of equal length, longest first, each of at most `batch_tokens` tokens or one row."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(length, []).append(row)
    for length, rows in sorted(by_length.items(), reverse=True):
        count = max(1, batch_tokens // max(1, length))
        for start in range(0, len(rows), count):
            yield rows[start : start + count]


def encode_passages(
    model: str,
    corpus: str,
    output: str,
    cost: str,
    max_length: int,
    precision: str,
    batch_tokens: int,
    label: str,
) -> None:
    """Encode one shard of a corpus to Parquet; what it took goes to `cost` (see `cost.collect_cost`)."""
    table = read_rows(corpus, "corpus")
    encoder = load_encoder(model, precision)
    start = time.perf_counter()
    vectors = encode(encoder, table["text"].to_pylist(), "document", max_length, batch_tokens, label)
    seconds = time.perf_counter() - start
    write_embeddings(output, "doc_id", table["doc_id"].to_pylist(), vectors)
    write_json(cost, {"passages": len(vectors), "seconds": seconds, "peak_memory_mib": peak_memory()})


def encode_queries(
    model: str, queries: str, output: str, max_length: int, precision: str, batch_tokens: int, label: str
) -> None:
    """Encode one query set to Parquet."""
    table = read_rows(queries, "queries")
    encoder = load_encoder(model, precision)
    vectors = encode(encoder, table["text"].to_pylist(), "query", max_length, batch_tokens, label)
    write_embeddings(output, "query_id", table["query_id"].to_pylist(), vectors)
