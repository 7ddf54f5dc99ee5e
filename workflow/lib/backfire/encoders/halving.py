"""Batches that fit the memory of a GPU: where it is spent they are halved, said so, and work goes on.

How many tokens fit depends on the model, the card and who else computes on it, so it is found by trying.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from backfire.jobs.faults import lacks_gpu_memory

logger = logging.getLogger(__name__)
T = TypeVar("T")


def halving(work: Callable[[np.ndarray], T], batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, T]]:
    """(rows, `work(rows)`) of each of the `batches` (row numbers), in smaller ones once the GPU's memory was spent.

    All batches after one that did not fit are cut as often as it was, since they are as large. A batch of one row that
    does not fit is an error, as is any other.
    """
    cuts = 0
    for batch in batches:
        todo = _cut([batch], cuts)
        while todo:
            rows, done = todo[0], None
            try:
                done = work(rows)
            except Exception as error:
                if len(rows) < 2 or not lacks_gpu_memory(error):
                    raise
            # Not within the handler: the traceback would keep alive what was computed so far.
            if done is None:
                cuts, todo = cuts + 1, _cut(todo, 1)
                logger.warning(
                    "the GPU's memory does not hold a batch of %d texts; from here on batches are of half as many",
                    len(rows),
                )
                free_gpu_memory()
            else:
                todo.pop(0)
                yield rows, done


def free_gpu_memory() -> None:
    """Give back what torch keeps of a GPU's memory for its next tensors; nothing where torch uses none."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _cut(batches: list[np.ndarray], times: int) -> list[np.ndarray]:
    """The batches in their order, each cut into 2^`times` parts, or rows where those are fewer."""
    return [part for batch in batches for part in np.array_split(batch, min(len(batch), 2**times))]
