"""Statistics of a whole space by sums over shards: closed forms, second implementations, any division into shards."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.spatial import procrustes

from backfire.errors import BackfireError
from backfire.explaining import moments
from backfire.explaining.moments import (
    Moments,
    change_over_seeds,
    corpus_moments,
    flattening,
    likeness,
    space_statistics,
    whole,
)
from backfire.formats.embeddings import write_embeddings


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def of(vectors: np.ndarray) -> dict:
    return space_statistics(Moments.of(vectors))


def test_orthonormal_basis():
    found = of(np.eye(8))
    # The covariance of the n corners of a simplex has n - 1 equal eigenvalues.
    assert found["mean_cosine"] == pytest.approx(0, abs=1e-12)
    assert found["participation_ratio"] == pytest.approx(7)
    assert found["isoscore"] == pytest.approx(6 / 7)
    assert found["effective_rank"] == pytest.approx(7)
    # With the mean left in all singular values are 1.
    assert found["rankme"] == pytest.approx(8)
    assert found["spectral_slope"] == pytest.approx(0, abs=1e-6)


def test_identical_vectors_have_no_spectrum():
    same = np.tile(unit(1, 16), (50, 1))
    found = of(same)
    assert found["mean_cosine"] == pytest.approx(1)
    assert found["rankme"] == pytest.approx(1, abs=1e-3)
    for name in ("participation_ratio", "isoscore", "effective_rank", "spectral_slope"):
        assert found[name] is None
    assert likeness(Moments.of(same, unit(50, 16))) == {"cka": None, "procrustes": None}
    assert likeness(Moments.of(unit(50, 16), same)) == {"cka": None, "procrustes": None}


def test_a_line_has_one_direction():
    found = of(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert found["mean_cosine"] == pytest.approx(-1)
    assert found["participation_ratio"] == pytest.approx(1)
    assert found["isoscore"] == pytest.approx(0)
    assert found["effective_rank"] == pytest.approx(1)


def test_isotropic_gaussian_directions_fill_the_space():
    found = of(unit(6000, 12))
    assert found["mean_cosine"] == pytest.approx(0, abs=2e-3)
    for name in ("participation_ratio", "effective_rank", "rankme"):
        assert found[name] == pytest.approx(12, rel=0.01)
    assert found["isoscore"] == pytest.approx(1, abs=0.01)


def test_two_unequal_directions_have_the_textbook_entropy():
    values = np.array([3.0, 1.0, 0.0])
    assert moments.participation_ratio(values) == pytest.approx(16 / 10)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert moments.effective_rank(values) == pytest.approx(math.exp(entropy))


def test_a_power_law_has_its_exponent():
    assert moments.spectral_slope(np.arange(1.0, 200.0) ** -1.3) == pytest.approx(1.3)
    assert moments.spectral_slope(np.array([1.0, 0.5, 0.0])) is None


def test_what_sums_give_is_what_the_vectors_give():
    """By numpy's covariance and singular values, and pair by pair."""
    vectors = unit(40, 10) * np.linspace(1, 3, 10)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found, sums = of(vectors), Moments.of(vectors)
    np.testing.assert_allclose(sums.covariance, np.cov(vectors.T, bias=True), atol=1e-15)
    pairs = list(permutations(range(40), 2))
    assert found["mean_cosine"] == pytest.approx(sum(vectors[i] @ vectors[j] for i, j in pairs) / len(pairs))
    singular = np.linalg.svd(vectors, compute_uv=False)
    shares = singular / singular.sum()
    assert found["rankme"] == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("width", [10, 16])
def test_likeness_is_scipys_procrustes_and_the_definition_of_cka(width):
    """CKA by kernels of all passages (Kornblith et al. 2019, equation 3); spaces of other widths too."""
    base, rows = unit(60, 10, seed=1), unit(60, width, seed=2)
    rows[:, :5] += base[:, :5]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = likeness(Moments.of(rows, base))
    padded = np.pad(base, ((0, 0), (0, width - 10)))
    assert found["procrustes"] == pytest.approx(procrustes(padded, rows)[2])
    centring = np.eye(60) - 1 / 60
    one, two = (centring @ each @ each.T @ centring for each in (base, rows))
    assert found["cka"] == pytest.approx((one * two).sum() / (np.linalg.norm(one) * np.linalg.norm(two)))
    assert 0 < found["cka"] < 1 and 0 < found["procrustes"] < 1


def test_turning_is_no_distortion_and_dropping_directions_is():
    base = unit(300, 16, seed=1)
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))
    turned = likeness(Moments.of(base @ turn, base))
    assert turned["cka"] == pytest.approx(1) and turned["procrustes"] == pytest.approx(0, abs=1e-12)
    flat = base.copy()
    flat[:, 4:] *= 0.05
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    assert likeness(Moments.of(flat, base))["procrustes"] > 0.2
    assert of(flat)["participation_ratio"] < 5 < of(base)["participation_ratio"]


def stored(folder, name, ids, vectors, cuts):
    paths = []
    for number, rows in enumerate(np.split(np.arange(len(ids)), cuts)):
        paths.append(folder / f"{name}-{number}.parquet")
        write_embeddings(paths[-1], "doc_id", [ids[row] for row in rows], vectors[rows].astype(np.float32))
    return paths


@pytest.mark.parametrize("block", [7, 10_000])
def test_shards_are_the_whole(tmp_path, monkeypatch, block):
    monkeypatch.setattr(moments, "BLOCK", block)
    ids, vectors, base = [f"d{row}" for row in range(100)], unit(100, 12), unit(100, 12, seed=3)

    def measured(groups):
        return space_statistics(whole(groups)) | likeness(whole(groups)) | flattening(groups)

    one = corpus_moments(stored(tmp_path, "a", ids, vectors, []), stored(tmp_path, "b", ids, base, []))
    parts = corpus_moments(stored(tmp_path, "c", ids, vectors, [1, 60]), stored(tmp_path, "d", ids, base, [1, 60]))
    assert whole(one).count == whole(parts).count == 100 and len(one) == len(parts) == moments.GROUPS
    assert measured(parts) == pytest.approx(measured(one), rel=1e-9)
    alone = whole(corpus_moments(stored(tmp_path, "e", ids, vectors, [50])))
    assert alone.cross is None and space_statistics(alone) == pytest.approx(space_statistics(whole(one)), rel=1e-9)


def test_the_jackknife_is_that_of_the_definition_and_no_groups_have_none():
    """The participation ratio by eigenvalues, each group left out in turn."""
    vectors, base = unit(100, 12), unit(100, 12, seed=3)
    parts = np.array_split(np.arange(100), 10)
    found = flattening([Moments.of(vectors[rows], base[rows]) for rows in parts])

    def difference(rows):
        ratios = [np.linalg.eigvalsh(np.cov(each[rows].T, bias=True)) for each in (vectors, base)]
        return moments.participation_ratio(ratios[0]) - moments.participation_ratio(ratios[1])

    without = [difference(np.setdiff1d(np.arange(100), rows)) for rows in parts]
    change = 10 * difference(np.arange(100)) - 9 * np.mean(without)
    assert found["participation_ratio_change"] == pytest.approx(change)
    expected = np.sqrt(0.9 * ((without - np.mean(without)) ** 2).sum())
    assert found["participation_ratio_change_se"] == pytest.approx(expected)
    two = flattening([Moments.of(vectors[:50], base[:50]), Moments.of(vectors[50:], base[50:])])
    assert set(two.values()) == {None}
    assert set(flattening([Moments.of(vectors, base)]).values()) == {None}


def test_the_error_covers_what_other_passages_would_give():
    """Corpora of 400 passages from one kind of text: 95 of 100 intervals hold the change of a very large one."""
    rng = np.random.default_rng(0)
    scales, flat = np.geomspace(1, 0.1, 16), np.geomspace(1, 0.02, 16)

    def corpus(count):
        drawn = rng.normal(size=(count, 16))
        return [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (drawn * flat, drawn * scales)]

    truth = flattening([Moments.of(*corpus(20_000)) for _ in range(20)])["participation_ratio_change"]
    covered = 0
    for _ in range(300):
        found = flattening([Moments.of(*corpus(20)) for _ in range(20)])
        change, error = found.values()
        _, low, high = change_over_seeds([change], [error])
        covered += low <= truth <= high
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_an_interval_over_seeds_holds_the_mean_change_of_all_trainings(seeds, between):
    """Whether seeds differ by much or not at all; two seeds that differ say little of how much, and it is too wide."""
    rng, true, covered = np.random.default_rng(seeds), -3.0, 0
    for _ in range(2000):
        # What the passages do to all seeds alike, its error estimated from twenty groups, and what a seed does.
        passages, estimated = rng.normal(), np.sqrt(rng.chisquare(19) / 19)
        changes = true + passages + between * rng.normal(size=seeds)
        mean, low, high = change_over_seeds(changes, [estimated] * seeds)
        assert mean == pytest.approx(changes.mean())
        covered += low <= true <= high
    assert 0.94 <= covered / 2000 <= (0.965 if between == 0 else 0.99)


@pytest.mark.parametrize("cuts", [[50], [40, 60]])
def test_shards_of_other_passages_are_an_error(tmp_path, cuts):
    ids = [f"d{row}" for row in range(100)]
    shards = stored(tmp_path, "a", ids, unit(100, 4), [50])
    base = stored(tmp_path, "b", ids if len(cuts) > 1 else ids[::-1], unit(100, 4), cuts)
    with pytest.raises(BackfireError, match="hold other passages"):
        corpus_moments(shards, base)
