"""Corrections for many comparisons against their definitions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.evaluation.significance.families import benjamini_hochberg, holm


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_corrections_agree_with_their_definitions(p_values):
    count = len(p_values)
    order = sorted(range(count), key=lambda index: p_values[index])
    down, up, running = [0.0] * count, [1.0] * count, 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        down[index] = running
    running = 1.0
    for rank, index in reversed(list(enumerate(order, start=1))):
        running = min(running, p_values[index] * count / rank)
        up[index] = running
    assert holm(p_values) == pytest.approx(down)
    assert benjamini_hochberg(p_values) == pytest.approx(up)


def test_corrections_of_no_test_at_all():
    assert holm([]) == benjamini_hochberg([]) == []
