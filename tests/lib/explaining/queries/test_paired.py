"""Values of the primary measure, query by query: pairing, seeds, and what is refused."""

import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.explaining.queries.paired import read_paired

PRIMARY = ["c", "test", "RR@10"]
MODELS = [["base", 0], ["tuned", 2]]


def rows(variant, seed, values, measure="RR@10", split="test"):
    where = {"variant": variant, "seed": seed, "collection": "c", "split": split, "measure": measure}
    return [where | {"query_id": query_id, "value": value} for query_id, value in values.items()]


def test_values_are_those_of_the_primary_measure_in_one_order_with_the_first_seed_first(table):
    path = table(
        "measures",
        "measures",
        [
            *rows("base", 0, {"q2": 0.5, "q1": 1.0}),
            *rows("base", 0, {"q2": 0.9, "q1": 0.9}, measure="AP"),
            *rows("base", 0, {"q7": 0.1}, split="dev"),
            *rows("tuned", 1, {"q1": 0.2, "q2": 0.4}),
            *rows("tuned", 2, {"q2": 0.6, "q1": 0.0}),
        ],
    )
    paired = read_paired(path, MODELS, PRIMARY)
    assert paired.queries == ["q1", "q2"]
    np.testing.assert_array_equal(paired.base, [1.0, 0.5])
    np.testing.assert_array_equal(paired.seeds["tuned"], [[0.0, 0.6], [0.2, 0.4]])
    np.testing.assert_allclose(paired.difference("tuned"), [-0.9, 0.0])
    assert paired.difference("tuned")[1] == 0


def test_rounding_of_a_mean_over_seeds_is_no_difference(pair):
    third = 0.1
    paired = pair([third], tuned=[[third]] * 3)
    assert np.mean([third] * 3) != third
    assert paired.difference("tuned")[0] == 0


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        ([], "tuned has no values of RR@10 on c/test"),
        (rows("tuned", 1, {"q1": 1.0, "q2": 1.0}), "tuned seed 2 has no values"),
        (rows("tuned", 2, {"q1": 1.0, "q3": 1.0}), "tuned was measured on 2 queries, base on 2, and they are"),
        (
            rows("tuned", 2, {"q1": 1.0, "q2": 1.0}) + rows("tuned", 5, {"q1": 1.0}),
            "seed 5 has no value for query 'q2'",
        ),
    ],
)
def test_missing_variants_and_other_queries_are_refused(table, tuned, said):
    path = table("measures", "measures", [*rows("base", 0, {"q1": 1.0, "q2": 0.5}), *tuned])
    with pytest.raises(BackfireError, match=said) as raised:
        read_paired(path, MODELS, PRIMARY)
    assert "Hint: " in str(raised.value)
