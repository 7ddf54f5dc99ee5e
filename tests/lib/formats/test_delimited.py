"""The text form of a table."""

import csv
import math

import pytest

from backfire.formats.delimited import write_csv
from backfire.formats.schemas import SCHEMAS

ROW = {**dict.fromkeys(SCHEMAS["comparison"].names), "variant": 'a,"b"', "mean": 0.1 + 0.2, "seeds": 1}


def test_header_follows_the_schema_and_floats_keep_every_digit(tmp_path):
    write_csv(tmp_path / "a.csv", "comparison", [ROW, {**ROW, "delta": math.pi}])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        first, second = reader
    assert reader.fieldnames == SCHEMAS["comparison"].names
    assert (first["variant"], float(first["mean"]), first["p"]) == ('a,"b"', 0.1 + 0.2, "")
    assert float(second["delta"]) == math.pi
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()


def test_column_that_is_not_in_the_table_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        write_csv(tmp_path / "a.csv", "comparison", [{**ROW, "extra": 1}])
    assert list(tmp_path.iterdir()) == []
