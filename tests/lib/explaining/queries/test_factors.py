"""Length, overlap and thirds of queries."""

import numpy as np
import pytest

from backfire.explaining.queries.factors import overlap, thirds, words


def test_words_are_casefolded_and_without_punctuation():
    assert words("Was ist die STRASSE, bitte? x_1 42") == ["was", "ist", "die", "strasse", "bitte", "x_1", "42"]
    assert words("Straße — ... !") == ["strasse"]


def test_overlap_is_the_share_of_distinct_words_in_the_best_answer():
    assert overlap("Sort the the array", ["the array of it", "sorting"]) == pytest.approx(2 / 3)
    assert overlap("sort the array", ["the array", "Sort"]) == pytest.approx(2 / 3)
    assert overlap("a b", ["c"]) == 0 and overlap("A b", ["B, a"]) == 1
    assert np.isnan(overlap("?!", ["c"])) and np.isnan(overlap("a", []))


def test_thirds_are_near_equal_and_keep_equal_values_together():
    np.testing.assert_array_equal(thirds(np.array([5.0, 1, 3, 2, 6, 4])), [2, 0, 1, 0, 2, 1])
    np.testing.assert_array_equal(thirds(np.array([1.0, 1, 1, 1, 2, 9])), [1, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(thirds(np.array([7.0, 7, 7])), [1, 1, 1])
    np.testing.assert_array_equal(thirds(np.array([1.0, np.nan, 2, 3])), [0, -1, 1, 2])
    assert thirds(np.array([np.nan])).tolist() == [-1] and thirds(np.array([])).tolist() == []
    counts = np.bincount(thirds(np.random.default_rng(0).permutation(1000).astype(float)))
    assert counts.max() - counts.min() <= 1
