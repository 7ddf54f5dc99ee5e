"""Training triples as token ids, and the order in which they are taken."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from backfire.encoders.tokens import ModelTokenizer, Tokens, joined
from backfire.formats.tables import read_rows
from backfire.keyed import key
from backfire.texts import texts_of

_PROMPT = {"queries": "query", "corpus": "document"}


@dataclass(frozen=True)
class Triples:
    """Each distinct text once in `tokens`; `rows` (triples, 3) are the texts of query, positive and negative, int32.

    Memory: 4 bytes a token, 8 a text and 12 a triple. A million triples of MS MARCO (half a million queries of 10
    tokens, two million passages of 80) are 0.7 GB, and twice that while they are put together.
    """

    tokens: Tokens
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def load_triples(triples: str, queries: str, corpus: list[str], tokenizer: ModelTokenizer, max_length: int) -> Triples:
    """The triples of a table, their texts tokenised as they are read and cut at `max_length`.

    Texts carry the model's own prompts, as they do when they are encoded. Raises `BackfireError` when a text is
    missing.
    """
    table = read_rows(triples, "triples", columns=["query_id", "positive_id", "negative_id"])
    query_rows, query_tokens = _tokenised([queries], "queries", table["query_id"], tokenizer, max_length)
    passages = pa.chunked_array([*table["positive_id"].chunks, *table["negative_id"].chunks], pa.string())
    passage_rows, passage_tokens = _tokenised(corpus, "corpus", passages, tokenizer, max_length)
    columns = [query_rows, *(passage_rows + len(query_tokens)).reshape(2, -1)]
    return Triples(joined([query_tokens, passage_tokens]), np.stack(columns, axis=1).astype(np.int32))


def batches(count: int, batch_size: int, steps: range, seed: int) -> Iterator[np.ndarray]:
    """Rows of the triples, out of `count`, in each of `steps`; every triple once in an epoch, the last batch smaller.

    The order of an epoch depends on `seed` and the epoch alone, so that any step can be started from.
    """
    in_epoch = -(-count // batch_size)
    known, order = -1, np.empty(0, np.int64)
    for step in steps:
        epoch, place = divmod(step, in_epoch)
        if epoch != known:
            known, order = epoch, epoch_order(count, seed, epoch)
        yield order[place * batch_size : (place + 1) * batch_size]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` triples by numbers of the counter-based generator Philox (Salmon et al. 2011)."""
    return np.argsort(np.random.Philox(key=key(seed, "order", epoch)).random_raw(count), kind="stable")


def _tokenised(
    paths: list[str], kind: str, ids: pa.ChunkedArray, tokenizer: ModelTokenizer, max_length: int
) -> tuple[np.ndarray, Tokens]:
    """The row of each id, and the tokens of the distinct texts, read without holding the texts in memory."""
    encoded = ids.combine_chunks().dictionary_encode()
    wanted = {row_id: place for place, row_id in enumerate(encoded.dictionary.to_pylist())}
    rows, pieces, found = np.empty(len(wanted), np.int64), [], 0
    for row_ids, texts in texts_of(paths, kind, wanted.keys()):
        pieces.append(tokenizer.tokenize(texts, _PROMPT[kind], max_length))
        rows[[wanted[row_id] for row_id in row_ids]] = found + np.arange(len(row_ids))
        found += len(row_ids)
    return rows[encoded.indices.to_numpy()], joined(pieces)
