"""The candidates of a whole corpus from those of its parts."""

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backfire.errors import BackfireError
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import iterate_rows, read_rows, write_batches
from backfire.jobs.logs import progress

log = logging.getLogger(__name__)

# Rows of a row group of the output, about, whose candidates from all parts are in memory together. The number of
# parts is left out, so that it does not show in the bytes.
WRITTEN = 1 << 16


def merge_candidates(parts: list[str], queries: str, depth: int, output: str, label: str | None = None) -> None:
    """Write the `depth` best candidates of every query over all `parts` of the corpus, ranks counted from 1.

    Every part holds the `depth` best of its own passages, grouped by query, in the order of the table `queries`.
    Order: score descending, then doc id ascending; so the bytes do not depend on the number of parts. Where no query
    has as many candidates as are asked for, as in a small corpus, the log tells how many there are.
    """
    query_ids = read_rows(queries, "queries", ["query_id"])["query_id"].combine_chunks()
    position = {query_id: row for row, query_id in enumerate(query_ids.to_pylist())}
    readers = [_Reader(part, position) for part in parts]
    step = max(1, WRITTEN // depth)
    longest = 0

    def batches() -> Iterator[pa.Table]:
        nonlocal longest
        with progress(label, len(query_ids), "query") as bar:
            for start in range(0, len(query_ids), step):
                pieces = [piece for reader in readers for piece in reader.until(start + step)]
                bar.update(min(step, len(query_ids) - start))
                if pieces:
                    rows, ranks, doc_ids, scores = _merged(pieces, depth)
                    longest = max(longest, int(ranks.max()))
                    columns = [query_ids.take(pa.array(rows)), doc_ids, ranks, scores]
                    yield pa.table(columns, schema=SCHEMAS["candidates"])
        if longest < depth:
            log.warning("%d candidates a query are asked for, and no query has more than %d", depth, longest)

    write_batches(output, "candidates", batches())


class _Reader:
    """The candidates of one part as pieces (rows of the queries, doc ids, scores), read on as they are asked for."""

    def __init__(self, path: str, position: dict[str, int]):
        self._path, self._position = path, position
        self._batches = iterate_rows(path, "candidates")
        self._left: tuple | None = None

    def until(self, stop: int) -> Iterator[tuple]:
        """Pieces that hold what is left of the queries before row `stop`."""
        while True:
            piece, self._left = self._left or self._next(), None
            if piece is None:
                return
            rows, doc_ids, scores = piece
            cut = int(np.searchsorted(rows, stop))
            if cut:
                yield rows[:cut], doc_ids[:cut], scores[:cut]
            if cut < len(rows):
                self._left = rows[cut:], doc_ids[cut:], scores[cut:]
                return

    def _next(self) -> tuple | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        runs = pc.run_end_encode(batch["query_id"])
        ends = runs.run_ends.to_numpy()
        rows = [self._position.get(query_id, -1) for query_id in runs.values.to_pylist()]
        if rows != sorted(rows) or rows[0] < 0:
            raise BackfireError(
                f"{self._path}: its queries are not those of the training set, in their order.",
                "it was mined for other queries; delete it and run again.",
            )
        return np.repeat(rows, np.diff(ends, prepend=0)), batch["doc_id"], batch["score"].to_numpy()


def _merged(pieces: list[tuple], depth: int) -> tuple[np.ndarray, np.ndarray, pa.Array, np.ndarray]:
    """Query rows, ranks, doc ids and scores of the `depth` best of every query among `pieces`, in final order."""
    rows = np.concatenate([piece[0] for piece in pieces])
    doc_ids = pa.concat_arrays([piece[1] for piece in pieces])
    scores = np.concatenate([piece[2] for piece in pieces])
    order = np.lexsort((-scores, rows))
    same = (np.diff(rows[order]) == 0) & (np.diff(scores[order]) == 0)
    tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    if len(tied):
        among = order[tied]
        # Doc ids as numbers in their own order: UTF-8 sorts as Python's strings do.
        names = doc_ids.take(pa.array(among))
        ordinal = pc.rank(names, tiebreaker="dense").to_numpy()
        order[tied] = among[np.lexsort((ordinal, -scores[among], rows[among]))]
    ranks = _within(rows[order])
    order, ranks = order[ranks <= depth], ranks[ranks <= depth]
    return rows[order], ranks, doc_ids.take(pa.array(order)), scores[order]


def _within(groups: np.ndarray) -> np.ndarray:
    """Positions, from 1, within runs of equal numbers."""
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(1, len(groups) + 1, dtype=np.int32) - np.repeat(starts, lengths).astype(np.int32)
