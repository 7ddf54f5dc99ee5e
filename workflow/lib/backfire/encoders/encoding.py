"""Encoding: texts to vectors, in batches of texts of equal padded length."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from backfire.encoders.encoder import Embedded, Encoder, StaticEncoder, arithmetic, load_encoder
from backfire.encoders.folders import contents
from backfire.encoders.halving import halving
from backfire.encoders.similarity import EUCLIDEAN, searchable
from backfire.encoders.tokenizing import stored_tokens
from backfire.encoders.tokens import Tokens, padded
from backfire.formats.atomic import write_json
from backfire.formats.embeddings import EMBEDDING_ROWS, write_embedding_batches
from backfire.formats.tables import read_rows
from backfire.jobs.logs import progress
from backfire.jobs.resources import peak_gpu_memory, peak_resident
from backfire.provenance.cache import compute

# Texts whose vectors are in memory together; whole row groups, so that it does not show in the file.
ENCODED_AT_ONCE = 4 * EMBEDDING_ROWS
T = TypeVar("T")


def encode(
    encoder: Encoder | StaticEncoder,
    texts: Sequence[str],
    kind: str,
    max_length: int,
    batch_tokens: int | None = None,
    bar=None,
) -> np.ndarray:
    """Vectors of `texts` as `encode_tokens` gives them; `kind` is `query` or `document` and chooses the prompt."""
    return encode_tokens(encoder, encoder.tokenize(texts, kind, max_length), kind, batch_tokens, bar)


def encode_tokens(
    encoder: Encoder | StaticEncoder, tokens: Tokens, kind: str, batch_tokens: int | None = None, bar=None
) -> np.ndarray:
    """Vectors of tokenised texts as `vectors_and_norms` gives them."""
    return vectors_and_norms(encoder, tokens, kind, batch_tokens, bar)[0]


def vectors_and_norms(
    encoder: Encoder | StaticEncoder, tokens: Tokens, kind: str, batch_tokens: int | None = None, bar=None
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (texts, dimensions), and their norms before they were scaled to unit length, (texts,), both float32.

    In the order given; `kind` is `query` or `document`. `Encoder.embed` says what a norm is.

    A batch holds at most `batch_tokens` tokens with padding (None: what suits the device), at least one text, and half
    as many where a GPU's memory does not hold them. A text's vector does not depend on the texts that share its batch
    (on a CPU to the last bit; a GPU may choose another kernel for another batch size). Memory: the vectors. `bar` (see
    `logs.progress`) is told how many texts are done.
    """
    vectors: np.ndarray | None = None
    norms = np.empty(len(tokens), dtype=np.float32)

    def begin(rows: np.ndarray) -> Callable[[], Embedded]:
        # Texts are repeated where there are few (see `Encoder.steady_tokens`).
        least = -(-encoder.steady_tokens // max(1, int(padded(tokens.lengths[rows[0]]))))
        return encoder.begin(tokens, kind, np.resize(rows, max(least, len(rows))))

    batches = token_batches(padded(tokens.lengths), batch_tokens or encoder.batch_tokens)
    for rows, finish in _one_behind(halving(begin, batches)):
        part, lengths = finish()
        if vectors is None:
            vectors = np.empty((len(tokens), part.shape[1]), dtype=np.float32)
        vectors[rows], norms[rows] = part[: len(rows)], lengths[: len(rows)]
        if bar is not None:
            bar.update(len(rows))
    return np.empty((0, 0), dtype=np.float32) if vectors is None else vectors, norms


def _one_behind(items: Iterable[T]) -> Iterator[T]:
    """The same items, each given once the next one has been taken: a GPU has a batch to do while one is fetched."""
    held: list[T] = []
    for item in items:
        yield from held
        held = [item]
    yield from held


def token_batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Row numbers in batches of equal length, longest first, each of at most `batch_tokens` tokens or one row."""
    for length in np.unique(lengths)[::-1]:
        rows = np.flatnonzero(lengths == length)
        count = max(1, batch_tokens // max(1, int(length)))
        for start in range(0, len(rows), count):
            yield rows[start : start + count]


def decisive(model: str, precision: str) -> dict[str, Any]:
    """What decides the vectors of texts beside the texts: the files of a model, and what it computes with here."""
    return {"model": contents(model), "arithmetic": arithmetic(model, precision)}


def encode_passages(
    model: str,
    tokens: Sequence[str],
    outputs: Sequence[str],
    costs: Sequence[str],
    precision: str,
    batch_tokens: int | None,
    label: str,
    reused: Callable[..., AbstractContextManager[bool]] = compute,
) -> None:
    """Encode tokenised shards of a corpus one after another with a model that is loaded once (see `encode_shard`).

    `reused(inputs, outputs)` says whether a shard's vectors were taken from elsewhere (see `reuse.reusing`).
    """
    encoder = None
    for shard, output, cost in zip(tokens, outputs, costs, strict=True):
        with reused(inputs={"tokens": shard}, outputs={"embeddings": output, "cost": cost}) as found:
            if not found:
                encoder = encoder or load_encoder(model, precision)
                encode_shard(encoder, shard, output, cost, batch_tokens, f"{label} {Path(output).stem}")


def encode_shard(
    encoder: Encoder | StaticEncoder, tokens: str, output: str, cost: str, batch_tokens: int | None, label: str
) -> None:
    """Encode one tokenised shard to Parquet; what it took goes to `cost` (see `cost.collect_cost`)."""
    table = read_rows(tokens, "tokens")
    seconds = 0.0

    def batches() -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        nonlocal seconds
        for start in range(0, max(1, len(table)), ENCODED_AT_ONCE):
            piece = table.slice(start, ENCODED_AT_ONCE)
            begun = time.perf_counter()
            found, norms = vectors_and_norms(encoder, stored_tokens(piece["tokens"]), "document", batch_tokens, bar)
            seconds += time.perf_counter() - begun
            yield piece["doc_id"].to_pylist(), searchable(found, "document", encoder.similarity), norms

    with progress(label, len(table), "text") as bar:
        write_embedding_batches(output, "doc_id", batches(), encoder.arithmetic, encoder.similarity == EUCLIDEAN)
    write_json(cost, {"passages": len(table), "seconds": seconds} | _memory())


def _memory() -> dict[str, float]:
    """Peak memory of this process in MiB, and that of the GPU where it has used one."""
    on_gpu = peak_gpu_memory()
    return {"peak_memory_mib": peak_resident()} | ({} if on_gpu is None else {"peak_gpu_memory_mib": on_gpu})


def encode_queries(
    model: str, queries: str, output: str, max_length: int, precision: str, batch_tokens: int | None, label: str
) -> None:
    """Tokenise and encode one query set to Parquet."""
    encoder, table = load_encoder(model, precision), read_rows(queries, "queries")

    def batches() -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        for start in range(0, max(1, len(table)), ENCODED_AT_ONCE):
            piece = table.slice(start, ENCODED_AT_ONCE)
            tokens = encoder.tokenize(piece["text"].to_pylist(), "query", max_length)
            found, norms = vectors_and_norms(encoder, tokens, "query", batch_tokens, bar)
            yield piece["query_id"].to_pylist(), searchable(found, "query", encoder.similarity), norms

    with progress(label, len(table), "text") as bar:
        write_embedding_batches(output, "query_id", batches(), encoder.arithmetic, encoder.similarity == EUCLIDEAN)
