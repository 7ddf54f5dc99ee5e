"""The sentence on what the protocol is worth says no more than its rows."""

from example_study import Example

from backfire.formats.tables import read_rows
from backfire.report.choices import protocol_table, worth
from backfire.report.numbers import MINUS


def rows(tmp_path, keep=lambda row: True, **changes):
    found = read_rows(Example(tmp_path).protocol(), "protocol").to_pylist()
    found = [row for row in found if row["measure"] == "RR@10" and keep(row)]
    return [row | ({} if row["own"] else changes) for row in found]


def test_the_largest_move_is_named_with_its_interval(tmp_path):
    assert worth(rows(tmp_path)) == (
        f"The choice that moves RR@10 of base on pydocs/test most is maximum length 64 instead of 128: {MINUS}0.0123 "
        f"[{MINUS}0.0185, {MINUS}0.0062]; 1 of the 3 other choices changes no query. So two evaluations of the "
        "same weights can lie 0.0123 apart through this choice alone."
    )


def test_a_move_that_may_be_chance_is_called_that(tmp_path):
    text = worth(rows(tmp_path, keep=lambda row: row["factor"] != "max_length"))
    assert "precision fp32 instead of auto: +0.0004" in text
    assert "which these queries cannot tell from 0" in text


def test_changes_that_cancel_out_teach_nothing_about_other_evaluations(tmp_path):
    assert "apart" not in worth(rows(tmp_path, delta=0.00004, changed=2))


def test_nothing_that_moves_is_said_to_move_nothing(tmp_path):
    still = rows(tmp_path, delta=0.0, changed=0)
    assert worth(still) == "None of the 3 other choices changes RR@10 of any query of pydocs/test."


def test_the_table_keeps_the_order_of_factors_and_marks_the_studys_own(tmp_path):
    table = protocol_table(Example(tmp_path).protocol(), "nDCG@10")
    assert [(row["choice"], row["own"]) for row in table["rows"]][:3] == [("128", True), ("64", False), ("auto", True)]
    assert table["measures"] == ["RR@10", "nDCG@10", "R@100", "AP"]
    assert all(len(row["cells"]) == 4 for row in table["rows"])
    assert [set(row["cells"][0]) for row in table["rows"][:2]] == [{"mean"}, {"mean", "delta", "interval", "changed"}]
    assert table["rows"][-1]["cells"][0] == {"mean": "0.5500", "changed": "no query differs"}
    assert "nDCG@10 of base" in table["sentence"]
