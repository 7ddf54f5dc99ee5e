"""The layers that moved, in words."""

import pytest
from example_study import Example

from backfire.formats.tables import write_rows
from backfire.report.layers import layers_table
from backfire.report.numbers import MISSING

SPACE = "\N{NO-BREAK SPACE}"


def rows(drifts, gradients=(1.0, 2.0), updates=(0.001, 0.002), steps=(10, 20)):
    return [
        {"step": step, "layer": f"layer {place}", "place": place, "grad_norm": gradients[place]}
        | {"drift": step / steps[-1] * drifts[place], "update_ratio": updates[place]}
        for step in steps
        for place in range(len(drifts))
    ]


def table(path, found):
    write_rows(path, "layers", found)
    return path


def test_a_variant_has_the_means_of_its_seeds_at_the_last_look(tmp_path):
    paths = [
        table(tmp_path / "0", rows((0.01, 0.04))),
        table(tmp_path / "1", rows((0.09, 0.04), updates=(0.003, 0.004))),
    ]
    (row,) = layers_table(paths, [("full", 0), ("full", 1)])
    assert row == {
        "variant": "full",
        "cells": [f"layer 0 (5{SPACE}%)", f"layer 1 (4{SPACE}%)", "layer 1", f"0.2{SPACE}% to 0.3{SPACE}%"],
    }


def test_what_is_not_known_is_not_told(tmp_path):
    unknown = [row | {"drift": None, "update_ratio": None} for row in rows((1.0,))]
    paths = [table(tmp_path / "0", []), table(tmp_path / "1", unknown)]
    assert layers_table(paths, [("stopped", 0), ("odd", 0)]) == [
        {"variant": "odd", "cells": [MISSING, MISSING, "layer 0", MISSING]}
    ]


@pytest.mark.parametrize("seeds", [1, 2])
def test_each_variant_has_one_row(tmp_path, seeds):
    study = Example(tmp_path, seeds=seeds)
    found = layers_table(study.layers(), study.runs)
    assert [row["variant"] for row in found] == list(study.verdicts)
    assert all(row["cells"][:2] and row["cells"][0].startswith("layer 2") for row in found)
