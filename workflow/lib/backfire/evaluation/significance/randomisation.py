"""Whether a mean difference over queries could be chance: sign-flip tests, of one variant and of a family."""

from collections.abc import Iterator

import numpy as np

# Upper bound on temporary arrays of sign assignments, in numbers.
AT_ONCE = 1 << 22


def sign_flip_tests(differences: np.ndarray, flips: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p-values of paired `differences`, shape (queries, variants): each alone, and as a family.

    Under the null hypothesis a query's two values are exchangeable, so the sign of each difference is a coin toss
    (Fisher; Smucker, Allan and Carterette, CIKM 2007). The first p-value is the share of sign assignments whose mean
    is at least as far from 0 as the one found. The second, step-down maxT (Westfall and Young 1993, algorithm 2.8;
    Ge, Dudoit and Speed 2003), bounds the chance of any false claim in the family: a query's sign is the same for
    all variants, so what they have in common counts, and each variant's statistic, the sum over the root of the sum
    of squares, is compared with the largest among those that are no larger. That statistic rises with |t|, so
    variants of any spread are on one scale.

    All assignments are gone through where there are at most `flips`, else `flips` random ones count as
    (b + 1) / (flips + 1) (Phipson and Smyth 2010), which is never 0. Memory is `AT_ONCE` numbers.
    """
    # Zero has no sign: a query without any difference changes no assignment's mean, so it need not be gone through.
    # Random signs are drawn for it all the same, so that one more variant changes no other's p.
    moved = differences[(differences != 0).any(axis=1)]
    exhaustive = _all_fit(len(moved), flips)
    values = np.ascontiguousarray(moved if exhaustive else differences, dtype=np.float64)
    variants = values.shape[1]
    if not len(moved):
        return np.ones(variants), np.ones(variants)
    scale = np.sqrt((values**2).sum(axis=0))
    scale[scale == 0] = 1.0
    # Equal sums that were added up in different orders must count as equal.
    observed = (np.abs(values.sum(axis=0)) - 1e-12 * np.abs(values).sum(axis=0)) / scale
    order = np.argsort(-observed, kind="stable")
    alone, largest, total = np.zeros(variants), np.zeros(variants), 0
    for signs in _all(len(values)) if exhaustive else _random(len(values), flips, rng):
        statistics = np.abs(values.sum(axis=0) - 2 * (signs @ values)) / scale
        alone += (statistics >= observed).sum(axis=0)
        # The maximum over a variant and all whose observed statistic is smaller.
        maxima = np.maximum.accumulate(statistics[:, order[::-1]], axis=1)[:, ::-1]
        largest += (maxima >= observed[order]).sum(axis=0)
        total += len(signs)
    if not exhaustive:
        alone, largest, total = alone + 1, largest + 1, total + 1
    family = np.empty(variants)
    family[order] = np.maximum.accumulate(largest / total)
    alone /= total
    if not exhaustive and variants > 1:
        # A variant that changes few queries has an exact p even where the family is too large for one.
        for column in range(variants):
            if _all_fit(np.count_nonzero(values[:, column]), flips):
                alone[column] = sign_flip_tests(values[:, [column]], flips, rng)[0][0]
    return alone, np.maximum(family, alone)


def _all_fit(queries: int, flips: int) -> bool:
    return queries < 63 and 2**queries <= flips


# Both give blocks of rows of zeros and ones, a one where a query's sign is turned, as float64 for the matrix product.


def _all(queries: int) -> Iterator[np.ndarray]:
    step = max(1, AT_ONCE // queries)
    for start in range(0, 2**queries, step):
        rows = np.arange(start, min(start + step, 2**queries))
        yield ((rows[:, None] >> np.arange(queries)) & 1).astype(np.float64)


def _random(queries: int, flips: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    step = max(1, AT_ONCE // queries)
    for start in range(0, flips, step):
        packed = rng.integers(0, 256, size=(min(step, flips - start), -(-queries // 8)), dtype=np.uint8)
        yield np.unpackbits(packed, axis=1, count=queries).astype(np.float64)
