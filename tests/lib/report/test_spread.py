"""Whether a space has flattened, as sentences."""

import pytest

from backfire.report.spread import spread


def rows(variant, ratio, *changes, collection="c"):
    found = [("participation_ratio", seed, ratio) for seed in range(max(1, len(changes)))]
    for seed, (change, error) in enumerate(changes):
        found += [("participation_ratio_change", seed, change), ("participation_ratio_change_se", seed, error)]
    return [
        {"variant": variant, "seed": seed, "collection": collection, "quantity": name, "value": value}
        for name, seed, value in found
    ]


BASE = rows("base", 85.23)


def test_each_variant_is_where_its_intervals_put_it():
    table = [
        *BASE,
        *rows("flat", 59.0, (-26.0, 1.0), (-24.0, 0.5)),
        *rows("wide", 107.0, (22.0, 1.0)),
        *rows("torn", 85.0, (3.0, 1.0), (-3.0, 1.0)),
        *rows("still", 85.0, (0.1, 1.0)),
        *rows("flat", 85.0, (50.0, 0.1), collection="other"),
    ]
    assert spread(table, "c", ["base", "flat", "wide", "torn", "still"]) == [
        "Under base the passages spread in 85.2 directions (participation ratio).",
        "Flattened: flat −25.0 [−36.1, −13.9].",
        "Widened: wide +22.0 [+19.9, +24.1].",
        "No change that is settled: torn +0.0 [−36.8, +36.8], still +0.1 [−2.0, +2.2].",
    ]


@pytest.mark.parametrize(("base", "change"), [(85.0, (None, None)), (None, (-1.0, 0.1))])
def test_what_is_undefined_is_not_told(base, change):
    told = spread([*rows("base", base), *rows("gone", None, change)], "c", ["base", "gone"])
    assert len(told) == (base is not None) and "gone" not in " ".join(told)


def lengths(variant, *values):
    rows = {"variant": variant, "collection": "c", "quantity": "raw_norm"}
    return [rows | {"seed": seed, "value": value} for seed, value in enumerate(values)]


def test_vectors_that_grew_or_shrank_are_told_with_their_lengths():
    table = [*BASE, *lengths("base", 2.8), *lengths("raw", 6.8, 7.0), *lengths("unit", 2.7), *lengths("small", 1.4)]
    assert spread([*table, *lengths("empty", None)], "c", ["base", "raw", "unit", "small", "empty"])[1:] == [
        "Vectors before normalisation, 2.8 long under base: raw 6.9 (2.5 times), small 1.4 (0.5 times); a cosine does "
        "not see it."
    ]
    assert spread([*BASE, *lengths("base", 2.8), *lengths("unit", 2.7)], "c", ["base", "unit"])[1:] == []
