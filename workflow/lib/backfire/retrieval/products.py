"""Which passages can be among the best of a query: products of vectors in float32, block by block.

The last bits of a matrix product depend on its shape, on threads and on the device. So it only proposes: for each query
every passage that rounding cannot exclude from the k best, and few others. `search` scores those again.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# Queries for a thread, and passages, of a block of scores: 64 MiB for a thread, and a matrix product at full speed.
QUERY_BLOCK = 256
PASSAGE_BLOCK = 1 << 16
# Queries of a block of scores on a GPU: 256 MiB, and four times that where nothing can be excluded.
GPU_QUERY_BLOCK = 1024

# Queries (queries x dimensions), k, and for each query its k-th best score so far, -inf while there are fewer, and its
# margin (see `margins`) -> for each query the rows of passages that can be among its k best.
Finder = Callable[[np.ndarray, int, np.ndarray, np.ndarray], list[np.ndarray]]


class Workers:
    """Threads, and a GPU where there is one, that search together."""

    def __init__(self, pool: Executor, threads: int, device: "torch.device | None" = None):
        """`pool` runs `threads` threads; with a torch `device` the products are computed there, and else by numpy."""
        self._pool, self._threads, self._device = pool, threads, device

    @property
    def query_block(self) -> int:
        """Queries that are searched together."""
        return self._threads * QUERY_BLOCK if self._device is None else GPU_QUERY_BLOCK

    def share(self, work: Callable[[np.ndarray], None], queries: int) -> None:
        """Call `work` with the numbers of all queries, in more parts than threads, so that none waits long."""
        list(self._pool.map(work, np.array_split(np.arange(queries), min(queries, 4 * self._threads))))

    def finder(self, passages: np.ndarray) -> Finder:
        """What finds candidates among `passages` (passages x dimensions, float32), which stay in memory with it."""
        return self._by_numpy(passages) if self._device is None else _by_torch(passages, self._device)

    def _by_numpy(self, passages: np.ndarray) -> Finder:
        def find(queries: np.ndarray, k: int, floors: np.ndarray, margins: np.ndarray) -> list[np.ndarray]:
            floors = floors.copy()
            found = [(np.empty(0, np.intp), np.empty(0, np.float32))] * len(queries)
            # Fresh memory for each product would cost a tenth of its time.
            memory = np.empty(len(queries) * min(PASSAGE_BLOCK, len(passages)), np.float32)
            for first in range(0, len(passages), PASSAGE_BLOCK):
                block = passages[first : first + PASSAGE_BLOCK]
                scores = memory[: len(queries) * len(block)].reshape(len(queries), len(block))
                np.matmul(queries, block.T, out=scores)

                def add(part: np.ndarray, first=first, scores=scores) -> None:
                    few = slice(part[0], part[-1] + 1)
                    high = _high(scores[few], k, floors[few], margins[few])
                    for query, (columns, reached) in zip(part, high, strict=True):
                        rows = np.concatenate([found[query][0], first + columns])
                        reached = np.concatenate([found[query][1], reached])
                        if len(rows) > k:
                            floors[query] = max(floors[query], np.partition(reached, -k)[-k])
                            kept = reached >= floors[query] - margins[query]
                            rows, reached = rows[kept], reached[kept]
                        found[query] = rows, reached

                self.share(add, len(queries))
            return [rows for rows, _ in found]

        return find


def margins(queries: np.ndarray, longest: float) -> np.ndarray:
    """By how much two float32 scores of a query may be out of order, given the largest norm of a passage; float64.

    A float32 inner product over d dimensions is off by at most about d * 2^-24 * |q| * |p|, in any order of summation
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1): twice that, and a rounding of the final
    score.
    """
    return (queries.shape[1] + 4) * 2.0**-23 * np.linalg.norm(queries, axis=1).astype(np.float64) * longest


def _high(
    scores: np.ndarray, k: int, floors: np.ndarray, margins: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each query (a row of `scores`) the columns no further below its floor than the margin, and their scores."""
    size = scores.shape[1]
    if size > k and np.isneginf(floors).any():
        # The k-th best of a piece bounds the k-th best of all from below, at a fraction of the cost.
        floors = np.maximum(floors, np.partition(scores[:, : max(2 * k, size // 8)], -k, axis=1)[:, -k])
    # Rounded down, so that the comparison in float32 keeps what one in float64 would.
    lowest = np.nextafter((floors - margins).astype(np.float32), -np.inf, dtype=np.float32)
    hits = np.flatnonzero(scores >= lowest[:, None])
    reached = scores.ravel()[hits]
    cuts = np.searchsorted(hits, np.arange(len(scores) + 1) * size)
    for query, (start, stop) in enumerate(pairwise(cuts)):
        yield hits[start:stop] - query * size, reached[start:stop]


def _by_torch(passages: np.ndarray, device: "torch.device") -> Finder:
    import torch

    # TensorFloat-32 keeps 10 bits of each factor: the margin would not cover it.
    torch.set_float32_matmul_precision("highest")
    stored = torch.from_numpy(passages).to(device)

    def find(queries: np.ndarray, k: int, floors: np.ndarray, margins: np.ndarray) -> list[np.ndarray]:
        asked, floor, margin = (torch.from_numpy(given).to(device) for given in (queries, floors, margins))
        best = asked.new_empty((len(queries), 0))
        found = []
        for first in range(0, len(stored), PASSAGE_BLOCK):
            scores = asked @ stored[first : first + PASSAGE_BLOCK].T
            high = scores.topk(min(k, scores.shape[1]), sorted=False).values
            best = torch.cat([best, high], dim=1)
            if best.shape[1] >= k:
                best = best.topk(k).values
                floor = torch.maximum(floor, best[:, -1].double())
            # Rounded down, as in `_high`.
            lowest = torch.nextafter((floor - margin).float(), torch.tensor(-torch.inf, device=device))
            query, column = (scores >= lowest[:, None]).nonzero(as_tuple=True)
            found.append((query, first + column, scores[query, column]))
        query, row, reached = (torch.cat(parts) for parts in zip(*found, strict=True))
        kept = reached >= (floor - margin)[query]
        query, order = query[kept].sort(stable=True)
        cuts = torch.bincount(query, minlength=len(queries)).cumsum(0)[:-1]
        return np.split(row[kept][order].cpu().numpy(), cuts.cpu().numpy())

    return find
