"""Encoding: texts to unit vectors, in batches of texts of equal padded length."""

import time
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import pyarrow as pa

from backfire.encoder import Encoder, StaticEncoder, load_encoder, padded
from backfire.formats.atomic import write_json
from backfire.formats.tables import EMBEDDING_ROWS, read_rows, write_embedding_batches
from backfire.logs import progress
from backfire.resources import peak_memory

# A tokenizer's own records take a hundred times the memory of the ids, so they are made for this many texts at once.
TOKENIZED_AT_ONCE = 4096
# Texts whose vectors are in memory together; whole row groups, so that it does not show in the file.
ENCODED_AT_ONCE = 4 * EMBEDDING_ROWS


def encode(
    encoder: Encoder | StaticEncoder,
    texts: Sequence[str],
    kind: str,
    max_length: int,
    batch_tokens: int,
    bar=None,
) -> np.ndarray:
    """Unit vectors of `texts`, float32 of shape (len(texts), dimensions), in the order given.

    `kind` is `query` or `document` and chooses the model's prompt. A batch holds at most `batch_tokens` tokens with
    padding, at least one text. A text's vector does not depend on the texts that share its batch (on a CPU to the
    last bit; a GPU may choose another kernel for another batch size). Memory: the vectors, and 4 bytes for each
    token. `bar` (see `logs.progress`) is told how many texts are done.
    """
    tokens, lengths = array("i"), array("i")
    for start in range(0, len(texts), TOKENIZED_AT_ONCE):
        for ids in encoder.tokenize(texts[start : start + TOKENIZED_AT_ONCE], kind, max_length):
            tokens.extend(ids)
            lengths.append(len(ids))
    flat, starts = np.asarray(tokens, dtype=np.int32), list(accumulate(lengths, initial=0))
    vectors: np.ndarray | None = None
    for rows in token_batches([padded(length) for length in lengths], batch_tokens):
        part = encoder.embed([flat[starts[row] : starts[row + 1]] for row in rows])
        if vectors is None:
            vectors = np.empty((len(texts), part.shape[1]), dtype=np.float32)
        vectors[rows] = part
        if bar is not None:
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
    encoder, table = load_encoder(model, precision), read_rows(corpus, "corpus")
    seconds = _encode_table(encoder, table, "doc_id", "document", output, max_length, batch_tokens, label)
    write_json(cost, {"passages": len(table), "seconds": seconds, "peak_memory_mib": peak_memory()})


def encode_queries(
    model: str, queries: str, output: str, max_length: int, precision: str, batch_tokens: int, label: str
) -> None:
    """Encode one query set to Parquet."""
    encoder, table = load_encoder(model, precision), read_rows(queries, "queries")
    _encode_table(encoder, table, "query_id", "query", output, max_length, batch_tokens, label)


def _encode_table(
    encoder, table: pa.Table, id_column: str, kind: str, output: str, max_length: int, batch_tokens: int, label: str
) -> float:
    """Encode and write `ENCODED_AT_ONCE` texts at a time; gives the seconds that encoding took."""
    seconds = 0.0

    def batches() -> Iterator[tuple[list[str], np.ndarray]]:
        nonlocal seconds
        for start in range(0, max(1, len(table)), ENCODED_AT_ONCE):
            piece = table.slice(start, ENCODED_AT_ONCE)
            begun = time.perf_counter()
            vectors = encode(encoder, piece["text"].to_pylist(), kind, max_length, batch_tokens, bar)
            seconds += time.perf_counter() - begun
            yield piece[id_column].to_pylist(), vectors

    with progress(label, len(table), "text") as bar:
        write_embedding_batches(output, id_column, batches())
    return seconds
