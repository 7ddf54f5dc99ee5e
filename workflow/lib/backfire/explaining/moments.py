"""The shape of a whole corpus of vectors, from sums that are taken shard by shard.

The count of the rows, their sum and the sum of their outer products say how a space is spread, however many passages
there are; with the products of two models' rows, how alike their spaces are. All sums are in float64; their order, and
so the last digits of what follows (below 1e-9 of it), depends on the shards.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np

from backfire.errors import BackfireError
from backfire.evaluation.significance.seeds import Components
from backfire.explaining.sampling import unit_rows
from backfire.formats.embeddings import read_vectors
from backfire.keyed import key

# Rows in double precision at a time.
BLOCK = 8192
# Groups of passages that are left out in turn.
GROUPS = 20
# Below this total variance the spread of unit vectors is rounding of float32, which has no shape to speak of.
COLLAPSED = 1e-12


@dataclass(frozen=True)
class Moments:
    """Sums over rows x, and rows y of base beside them: `count`, `total` = sum x, `outer` = sum x x^T.

    `base_total` = sum y, `base_outer` = sum y y^T and `cross` = sum y x^T, None without base.
    """

    count: int
    total: np.ndarray
    outer: np.ndarray
    base_total: np.ndarray | None = None
    base_outer: np.ndarray | None = None
    cross: np.ndarray | None = None

    @classmethod
    def of(cls, rows: np.ndarray, base: np.ndarray | None = None) -> "Moments":
        """Of `rows` (n, dimensions), and of the rows of `base` (n, its dimensions) for the same passages."""
        if base is None:
            return cls(len(rows), rows.sum(axis=0), rows.T @ rows)
        return cls(len(rows), rows.sum(axis=0), rows.T @ rows, base.sum(axis=0), base.T @ base, base.T @ rows)

    def __add__(self, other: "Moments") -> "Moments":
        return self._with(other, operator.add)

    def __sub__(self, other: "Moments") -> "Moments":
        return self._with(other, operator.sub)

    def _with(self, other: "Moments", operation: Callable) -> "Moments":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Moments(*(None if one is None else operation(one, two) for one, two in pairs))

    @property
    def covariance(self) -> np.ndarray:
        """Of the rows, (dimensions, dimensions)."""
        return _centred(self.outer, self.total, self.total, self.count)

    @property
    def base_covariance(self) -> np.ndarray:
        """Of base's rows."""
        return _centred(self.base_outer, self.base_total, self.base_total, self.count)

    @property
    def cross_covariance(self) -> np.ndarray:
        """Of base's rows with the rows, (dimensions of base, dimensions)."""
        return _centred(self.cross, self.base_total, self.total, self.count)


def corpus_moments(shards: Sequence[str | Path], base: Sequence[str | Path] = ()) -> list[Moments]:
    """Sums over the embeddings in `shards`, scaled to unit norm, beside those of `base`, none where it is base itself.

    One for each of `GROUPS` groups of passages by a hash of their ids, none of a group without passages; `whole` adds
    them up. One shard of each is in memory at a time. Raises `BackfireError` where the shards of the two hold other
    passages or a vector has no direction.
    """
    found: dict[int, Moments] = {}
    for number, shard in enumerate(shards):
        ids, rows = read_vectors(shard, "doc_id")
        base_ids, base_rows = read_vectors(base[number], "doc_id") if number < len(base) else (ids, None)
        if ids != base_ids or base and len(base) != len(shards):
            beside = base[min(number, len(base) - 1)]
            raise BackfireError(
                f"{shard} and base's {beside} hold other passages, or in another order.",
                "they were encoded from other shards; delete both and run again.",
            )
        for start in range(0, len(ids), BLOCK):
            names = ids[start : start + BLOCK]
            some = unit_rows(rows[start : start + BLOCK], names)
            beside = None if base_rows is None else unit_rows(base_rows[start : start + BLOCK], names)
            groups = np.array([key("group", name) % GROUPS for name in names])
            for group in np.unique(groups).tolist():
                chosen = groups == group
                part = Moments.of(some[chosen], None if beside is None else beside[chosen])
                found[group] = found[group] + part if group in found else part
        # Else these would stay in memory while the next ones are read.
        del rows, base_rows
    return [found[group] for group in sorted(found)]


def whole(groups: Sequence[Moments]) -> Moments:
    """The sums over all groups."""
    return reduce(Moments.__add__, groups)


def flattening(groups: Sequence[Moments]) -> dict[str, float | None]:
    """By how much the participation ratio differs from base's, and the standard error of that over passages.

    Both by the jackknife that leaves out one group of passages at a time (Shao and Tu 1995, The Jackknife and
    Bootstrap, section 2.3), for the difference itself, since both models have the same passages. It also corrects the
    difference for the number of passages: the ratio over n of them is too small by about its square over n, the more so
    the wider a space is. None with fewer than three groups, or where a space has collapsed.
    """

    def difference(sums: Moments) -> float:
        ratios = [_ratio(np.trace(each), (each**2).sum()) for each in (sums.covariance, sums.base_covariance)]
        return np.nan if None in ratios else ratios[0] - ratios[1]

    nothing = {"participation_ratio_change": None, "participation_ratio_change_se": None}
    if (number := len(groups)) < 3:
        return nothing
    total = whole(groups)
    without = np.array([difference(total - group) for group in groups])
    change = difference(total)
    if not np.isfinite([change, *without]).all():
        return nothing
    change = number * change - (number - 1) * without.mean()
    error = np.sqrt((number - 1) / number * ((without - without.mean()) ** 2).sum())
    return {"participation_ratio_change": float(change), "participation_ratio_change_se": float(error)}


def change_over_seeds(changes: Sequence[float], errors: Sequence[float]) -> tuple[float, float, float]:
    """The mean change over training seeds, and the ends of its interval of 95 % over passages and seeds.

    `changes` and their standard errors over passages are those of `flattening`, a pair for each seed. All seeds have
    the same passages, so the error over passages is that of the mean and shrinks with no number of seeds; to it comes
    the spread between the seeds. With one seed the interval is over passages alone.
    """
    seeds, passages = len(changes), float(np.mean(errors))
    found = Components(
        query=GROUPS * passages**2,
        seed=float(np.var(changes, ddof=1)) if seeds > 1 else None,
        residual=0.0,
        seeds=seeds,
        queries=GROUPS,
    )
    mean, half = float(np.mean(changes)), found.quantile(0.025) * found.standard_error
    return mean, mean - half, mean + half


def space_statistics(moments: Moments) -> dict[str, float | None]:
    """What the sums say of a space alone; None where it has collapsed to a point. Needs at least two rows."""
    count, (values, dimensions) = moments.count, (eigenvalues(moments.covariance), len(moments.total))
    ratio = participation_ratio(values)
    return {
        "mean_cosine": float((moments.total @ moments.total - np.trace(moments.outer)) / (count * (count - 1))),
        "participation_ratio": ratio,
        "isoscore": None if ratio is None or dimensions < 2 else (ratio - 1) / (dimensions - 1),
        "effective_rank": effective_rank(values),
        "rankme": _exponential_entropy(np.sqrt(eigenvalues(moments.outer))),
        "spectral_slope": spectral_slope(values),
    }


def likeness(moments: Moments) -> dict[str, float | None]:
    """How alike the space is to base's, None where either has collapsed to a point."""
    cross = moments.cross_covariance
    own, other = moments.covariance, moments.base_covariance
    if min(np.trace(own), np.trace(other)) <= COLLAPSED:
        return {"cka": None, "procrustes": None}
    nuclear = np.linalg.svd(cross, compute_uv=False).sum()
    return {
        "cka": float((cross**2).sum() / (np.linalg.norm(own) * np.linalg.norm(other))),
        "procrustes": float(max(0.0, 1 - nuclear**2 / (np.trace(own) * np.trace(other)))),
    }


def eigenvalues(symmetric: np.ndarray) -> np.ndarray:
    """Of a symmetric positive matrix, largest first; what rounding makes negative is 0."""
    return np.maximum(np.linalg.eigvalsh(symmetric)[::-1], 0)


def participation_ratio(values: np.ndarray) -> float | None:
    """`(sum l)^2 / sum l^2` of the eigenvalues of a covariance; None when there is no variance."""
    return _ratio(values.sum(), (values**2).sum())


def _ratio(total: float, squares: float) -> float | None:
    """Of the sum of eigenvalues, which is a matrix's trace, and that of their squares, which is its squared norm."""
    return float(total**2 / squares) if total > COLLAPSED else None


def effective_rank(values: np.ndarray) -> float | None:
    """`exp(-sum p log p)` with `p = l / sum l`, of the eigenvalues of a covariance; None when there is no variance."""
    return _exponential_entropy(values) if values.sum() > COLLAPSED else None


def spectral_slope(values: np.ndarray) -> float | None:
    """`a` where eigenvalues fall as `rank^-a`, by least squares of their logarithms over the ranks above rounding.

    None with fewer than three of those.
    """
    if values.sum() <= COLLAPSED:
        return None
    kept = values[values > 1e-10 * values[0]]
    if len(kept) < 3:
        return None
    return float(-np.polyfit(np.log(np.arange(1, len(kept) + 1)), np.log(kept), 1)[0])


def _exponential_entropy(values: np.ndarray) -> float:
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _centred(outer: np.ndarray, left: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    return outer / count - np.outer(left / count, right / count)
