"""The sentence on the order of equal scores says no more than its rows."""

import pytest
from example_study import MEASURES, SPLITS, Example

from backfire.formats.tables import read_rows, write_rows
from backfire.report.ties import TOLERANCE, ties_summary

PLACES = [*(f"pydocs/{split}" for split in SPLITS), "vaswani/test"]


def summary(folder, **changes):
    study = Example(folder)
    return ties_summary(study.ties(**changes), study.variants)


def test_no_tie_that_counts_is_said_in_one_sentence(tmp_path):
    found = summary(tmp_path, reach=0)
    assert found["rows"] == []
    assert found["sentence"].startswith(
        "Passages of equal score are ordered by id. No other order would change a value:"
    )


def test_the_largest_of_small_bands_is_named(tmp_path):
    found = summary(tmp_path, reach=0.0002)
    assert found["rows"] == []
    assert found["sentence"] == (
        "Passages of equal score are ordered by id. No other order would change a mean by more than 0.0005: the most "
        "that one depends on it is AP of base on pydocs/dev, between 0.78990 and 0.79020 (7 queries of 250)."
    )


def test_means_that_depend_on_the_order_are_listed_by_variant(tmp_path):
    found = summary(tmp_path, reach=0.02)
    assert [(row["variant"], row["place"], row["measure"]) for row in found["rows"]] == [
        (name, place, "AP") for name in ("base", "lora_hard") for place in PLACES
    ]
    assert found["rows"][0] == {
        "variant": "base", "seed": 0, "place": "pydocs/dev", "measure": "AP",
        "worst": "0.7800", "value": "0.7900", "best": "0.8100", "queries": "7 of 250",
    }  # fmt: skip
    assert f"8 of {5 * len(PLACES) * len(MEASURES)} means would differ" in found["sentence"]
    assert "collapsed model" in found["sentence"]


@pytest.mark.parametrize("end", ["worst", "best"])
def test_either_end_of_a_band_counts(tmp_path, end):
    study = Example(tmp_path)
    rows = read_rows(study.ties(reach=0), "ties").to_pylist()
    for sign, moved in ((-1, "worst"), (1, "best")):
        if moved == end:
            rows[5] |= {moved: rows[5]["value"] + sign * 2 * TOLERANCE, "tied_queries": 1}
    write_rows(tmp_path / "ties.parquet", "ties", rows)
    (row,) = ties_summary(tmp_path / "ties.parquet", study.variants)["rows"]
    assert (row["measure"], row["queries"]) == (rows[5]["measure"], "1 of 250")
