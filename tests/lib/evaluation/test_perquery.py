"""The per-query store: matrices from rows in any order, and rows that are refused."""

import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.evaluation.perquery import read_store
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import write_rows

PLACE = ("c", "test", "AP")


@pytest.fixture
def store(tmp_path):
    """A function that reads rows of (variant, seed, query, value) at one place back as a store."""

    def make(*rows):
        table = [dict(zip(SCHEMAS["measures"].names, (v, s, *PLACE, q, x), strict=True)) for v, s, q, x in rows]
        write_rows(tmp_path / "measures.parquet", "measures", table)
        return read_store(tmp_path / "measures.parquet")

    return make


def test_values_in_the_order_of_seeds_and_queries(store):
    found = store(("a", 1, "q2", 0.4), ("a", 0, "q10", 0.1), ("a", 1, "q10", 0.3), ("a", 0, "q2", 0.2)).at(PLACE, "a")
    assert (found.seeds, found.queries) == ([0, 1], ["q10", "q2"])
    assert found.values.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert found.means == pytest.approx([0.2, 0.3])


def test_differences_are_paired_by_query_and_by_seed_where_both_have_it(store):
    rows = [("base", 0, "x", 0.5), ("base", 0, "y", 0.0)]
    rows += [
        ("a", seed, query, value) for seed, query, value in ((0, "y", 1.0), (0, "x", 0.5), (1, "x", 1.0), (1, "y", 0.0))
    ]
    rows += [("b", seed, query, 0.25 * seed) for seed in (0, 1) for query in "xy"]
    rows += [("c", seed, query, 1.0) for seed in (0, 1, 2) for query in "xy"]
    found = store(*rows)
    assert found.differences(PLACE, "a", "base").tolist() == [[0.0, 1.0], [0.5, 0.0]]
    assert found.differences(PLACE, "b", "a").tolist() == [[-0.5, -1.0], [-0.75, 0.25]]
    assert found.differences(PLACE, "c", "a").tolist() == [[0.25, 0.5]] * 3


def test_means_that_differ_in_the_last_bit_are_no_difference(store):
    thirds = [0.1, 0.2, 0.3]
    rows = [("base", 0, "x", sum(thirds) / 3), ("a", 0, "x", float(np.mean(thirds)) + 1e-17)]
    assert store(*rows).differences(PLACE, "a", "base").tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 0, "x", float("nan"))], "query 'x' has no finite value"),
        ([("a", 0, "x", float("inf"))], "query 'x' has no finite value"),
        ([("a", 0, "x", None)], "query 'x' has no finite value"),
        ([("a", 0, "x", 0.1), ("a", 0, "x", 0.1)], "query 'x' stands twice for seed 0"),
        ([("a", 0, "x", 0.1), ("a", 0, "y", 0.1), ("a", 1, "x", 0.2)], "seed 1 has no value for query 'y'"),
    ],
)
def test_rows_that_are_refused(store, rows, message):
    with pytest.raises(BackfireError, match=message) as caught:
        store(*rows)
    assert str(caught.value).splitlines()[-1].startswith("Hint:")


def test_other_queries_and_unmeasured_variants_are_refused(store):
    found = store(("base", 0, "x", 0.1), ("a", 0, "y", 0.1))
    with pytest.raises(BackfireError, match="a was measured on 1 queries, base on 1, and they are not the same"):
        found.differences(PLACE, "a", "base")
    with pytest.raises(BackfireError, match="b has no values of AP on c/test"):
        found.at(PLACE, "b")
