"""The table of token ids: passages are tokenised once for a tokenizer and a length, whatever models encode them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from backfire.formats.tables import EMBEDDING_ROWS, SCHEMAS, iterate_rows, write_batches
from backfire.tokens import Tokens, load_tokenizer


def tokenize_passages(model: str, corpus: str, output: str, max_length: int) -> None:
    """Write the token ids of one shard of a corpus, cut at `max_length`, by the tokenizer of the folder `model`."""
    tokenizer = load_tokenizer(model)

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
