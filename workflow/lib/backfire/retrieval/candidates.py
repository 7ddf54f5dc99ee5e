"""The table of candidates: for each query passages, best first, with rank and score."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from backfire.formats.schemas import SCHEMAS

# Candidates held at a time, over all queries of a block, some 8 to 12 bytes each.
HELD = 1 << 24
# Rows of a row group, about.
WRITTEN = 1 << 18


def candidate_table(query_ids: pa.Array, lengths: Sequence[int] | np.ndarray, doc_ids, scores) -> pa.Table:
    """Candidates of some queries, one query after another: `lengths` of them each, best first; ranks count from 1."""
    lengths = np.asarray(lengths, dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    columns = [
        query_ids.take(pa.array(np.repeat(np.arange(len(lengths)), lengths))),
        doc_ids if isinstance(doc_ids, pa.Array) else pa.array(doc_ids, pa.string()),
        (np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1).astype(np.int32),
        pa.array(scores, pa.float32()),
    ]
    return pa.table(columns, schema=SCHEMAS["candidates"])
