"""Lengths before normalisation: shards are the whole, and nothing cancels."""

import numpy as np
import pytest

from backfire.explaining.lengths import length_statistics
from backfire.formats.embeddings import write_embeddings


def stored(folder, lengths, cuts):
    """Shards of unit vectors that had these lengths."""
    vectors = np.eye(4)[np.arange(len(lengths)) % 4]
    paths = []
    for number, rows in enumerate(np.split(np.arange(len(lengths)), cuts)):
        paths.append(folder / f"{len(cuts)}-{number}.parquet")
        write_embeddings(paths[-1], "doc_id", [f"d{row}" for row in rows], vectors[rows], norms=lengths[rows])
    return paths


@pytest.mark.parametrize("spread", [0.5, 1e-6])
def test_shards_are_the_whole(tmp_path, spread):
    lengths = np.random.default_rng(0).normal(2.6, spread, size=997).astype(np.float32)
    exact = lengths.astype(np.float64)
    expected = {"raw_norm": exact.mean(), "raw_norm_variation": exact.std() / exact.mean()}
    # One of the shards holds no passage.
    for cuts in ([], [1, 400, 400, 900], list(range(1, 997))):
        assert length_statistics(stored(tmp_path, lengths, cuts)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("length", [1.0, 0.1, 3e19])
def test_vectors_that_are_equally_long_do_not_differ(tmp_path, length):
    found = length_statistics(stored(tmp_path, np.full(100, length, np.float32), [7, 50]))
    assert found == {"raw_norm": pytest.approx(length), "raw_norm_variation": pytest.approx(0, abs=1e-15)}


def test_without_length_there_is_no_share_of_it(tmp_path):
    assert length_statistics(stored(tmp_path, np.zeros(3), [])) == {"raw_norm": 0.0, "raw_norm_variation": None}
    assert set(length_statistics(stored(tmp_path, np.zeros(0), [])).values()) == {None}
