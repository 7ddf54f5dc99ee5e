"""The table of token ids: passages are tokenised once for a tokenizer and a length, whatever models encode them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import pyarrow as pa

from backfire.encoders.encoder import load_tokenizer
from backfire.encoders.tokens import ModelTokenizer, Tokens
from backfire.formats.embeddings import EMBEDDING_ROWS
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import iterate_rows, write_batches
from backfire.provenance.cache import compute


def tokenize_passages(
    model: str,
    corpus: Sequence[str],
    outputs: Sequence[str],
    max_length: int,
    reused: Callable[..., AbstractContextManager[bool]] = compute,
) -> None:
    """Write the token ids of shards of a corpus, cut at `max_length`, by the tokenizer of the folder `model`.

    `reused(inputs, outputs)` says whether a shard's tokens were taken from elsewhere (see `reuse.reusing`).
    """
    tokenizer = load_tokenizer(model)
    for shard, output in zip(corpus, outputs, strict=True):
        with reused(inputs={"corpus": shard}, outputs={"tokens": output}) as found:
            if not found:
                _tokenize_shard(tokenizer, shard, output, max_length)


def _tokenize_shard(tokenizer: ModelTokenizer, corpus: str, output: str, max_length: int) -> None:

    def tables() -> Iterator[pa.Table]:
        for batch in iterate_rows(corpus, "corpus", EMBEDDING_ROWS):
            tokens = tokenizer.tokenize(batch["text"].to_pylist(), "document", max_length)
            lists = pa.ListArray.from_arrays(pa.array(tokens.starts, pa.int32()), pa.array(tokens.ids))
            yield pa.table([batch["doc_id"], lists], schema=SCHEMAS["tokens"])

    write_batches(output, "tokens", tables())


def stored_tokens(column: pa.ChunkedArray) -> Tokens:
    """The column `tokens` of such a table, or of a slice of it, as `Tokens`."""
    lists = column.combine_chunks()
    starts = lists.offsets.to_numpy().astype(np.int64)
    return Tokens(lists.values.to_numpy()[starts[0] : starts[-1]], starts - starts[0])
