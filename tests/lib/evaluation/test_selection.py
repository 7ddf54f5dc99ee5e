"""A choice sees the watched split and nothing else."""

import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.evaluation.selection import choose_best, choose_variants, chosen_of
from backfire.formats.atomic import read_json
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_rows

WATCHED = ("c", "dev")
BOTH = {"rate": {"among": ["slow", "fast"], "measure": "RR@10"}}


def part(tmp_path, variant, values, seed=0, split="dev", measure="RR@10"):
    path = tmp_path / f"{variant}-{seed}-{split}.parquet"
    rows = [(variant, seed, "c", split, measure, f"q{place}", value) for place, value in enumerate(values)]
    write_rows(path, "measures", [dict(zip(SCHEMAS["measures"].names, row, strict=True)) for row in rows])
    return path


def chosen(tmp_path, parts, selections=BOTH):
    choose_variants(parts, selections, WATCHED, tmp_path / "selection.parquet")
    return read_rows(tmp_path / "selection.parquet", "selection").to_pylist()


def test_the_highest_mean_over_queries_and_seeds_is_chosen(tmp_path):
    parts = [
        part(tmp_path, "slow", [0.5, 0.5]),
        part(tmp_path, "slow", [0.1, 0.1], seed=1),
        part(tmp_path, "fast", [0.4, 0.4]),
        part(tmp_path, "fast", [0.4, 0.0], seed=1),
    ]
    slow, fast = chosen(tmp_path, parts)
    assert (slow["mean"], fast["mean"]) == pytest.approx((0.3, 0.3))
    # Equal: the first in the order of the configuration, whatever the last bit says.
    assert [row["variant"] for row in (slow, fast) if row["chosen"]] == ["slow"]
    better = [*parts[:3], part(tmp_path, "fast", [0.4, 0.1], seed=1)]
    assert [row["variant"] for row in chosen(tmp_path, better) if row["chosen"]] == ["fast"]
    assert (slow["queries"], slow["seeds"], slow["split"]) == (2, 2, "dev")


@pytest.mark.parametrize("split", ["test", "unseen"])
def test_values_of_a_reported_split_are_refused(tmp_path, split):
    parts = [part(tmp_path, "slow", [0.1]), part(tmp_path, "fast", [0.2])]
    with pytest.raises(BackfireError, match=f"values of c/{split}, but it may see c/dev only"):
        chosen(tmp_path, [*parts, part(tmp_path, "fast", [0.9], split=split)])


def test_candidates_on_other_queries_are_refused(tmp_path):
    parts = [part(tmp_path, "slow", [0.1]), part(tmp_path, "fast", [0.2, 0.9])]
    with pytest.raises(BackfireError, match="not the same"):
        chosen(tmp_path, parts)


def test_choosing_on_the_other_half_is_no_cheating(tmp_path):
    """Twenty candidates that are all equal to base: the chosen one's test values stay centred on 0; picked on test
    itself they would not."""
    rng, honest, dishonest = np.random.default_rng(0), [], []
    names = [f"v{place}" for place in range(20)]
    for study in range(60):
        dev, test = rng.normal(0, 0.3, (2, 20, 50))
        folder = tmp_path / str(study)
        folder.mkdir()
        parts = [part(folder, name, dev[place]) for place, name in enumerate(names)]
        rows = chosen(folder, parts, {"x": {"among": names, "measure": "RR@10"}})
        (pick,) = (row["variant"] for row in rows if row["chosen"])
        honest.append(test[names.index(pick)].mean())
        dishonest.append(test.mean(axis=1).max())
    error = np.std(honest) / np.sqrt(len(honest))
    assert abs(np.mean(honest)) < 3 * error < np.mean(dishonest)


def curve(path, *values):
    rows = [{"step": step, "dev_AP": value} for step, value in enumerate(values)]
    write_rows(path, "dynamics", rows)
    return path


def test_the_best_is_that_of_the_last_look_over_all_seeds(tmp_path):
    tables = [
        curve(tmp_path / "0", 0.1, 0.9, None, 0.5),
        curve(tmp_path / "1", 0.1, None, 0.9, None),
        curve(tmp_path / "2", 0.1, 0.2, None, 0.8),
        curve(tmp_path / "3", 0.1, 0.2, None, 0.7),
    ]
    runs = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    choose_best(tables, runs, "AP", tmp_path / "best.json")
    found = read_json(tmp_path / "best.json")
    assert found["chosen"] == "b" and found["measure"] == "AP"
    assert found["values"] == {"a": pytest.approx(0.7), "b": pytest.approx(0.75)}
    files = ["a-0", "a-1", "b-0", "b-1"]
    assert chosen_of(tmp_path / "best.json", ["a", "b"], files) == ["b-0", "b-1"]
    assert chosen_of(tmp_path / "best.json", ["b", "a"], files) == ["a-0", "a-1"]


def test_of_equals_the_first_is_the_best(tmp_path):
    tables = [curve(tmp_path / str(number), 0.3, 0.3) for number in range(2)]
    choose_best(tables, [("b", 0), ("a", 0)], "AP", tmp_path / "best.json")
    assert read_json(tmp_path / "best.json")["chosen"] == "b"
