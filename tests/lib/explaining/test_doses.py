"""What wrong labels cost: the line's slope, its interval where the truth is known, and what the page says."""

import numpy as np
import pytest

from backfire.charts.doses import plot_doses
from backfire.evaluation.comparison import Rules
from backfire.explaining.doses import measure_doses, slope
from backfire.formats.tables import read_rows, write_rows
from backfire.report.forensics import doses_told

PLACES = [("c", "test", "RR@10"), ("c", "unseen", "RR@10")]
RULES = Rules(alpha=0.05, resamples=999, flips=999, seed=0, power=0.8, margins={"default": 0.005}, against=[])
GROUP = [("clean", 0.0), ("some", 0.1), ("more", 0.2), ("many", 0.4)]


def study(tmp_path, rng, effect, queries=150, seeds=1):
    """Tables of four variants, each of whose queries loses `effect` for all its labels, and noise of its own."""
    paths, own = [], rng.uniform(0.3, 0.7, queries)
    for name, dose in GROUP:
        rows = []
        for seed in range(seeds):
            for collection, split, measure in PLACES:
                values = own + dose * effect * (split == "test") + rng.normal(0, 0.05, queries)
                place = {"variant": name, "seed": seed, "collection": collection, "split": split, "measure": measure}
                rows += [place | {"query_id": f"q{n:03}", "value": float(value)} for n, value in enumerate(values)]
        paths.append(tmp_path / f"{name}.parquet")
        write_rows(paths[-1], "measures", rows)
    return paths


def measured(tmp_path, *arguments, **options):
    paths = study(tmp_path, *arguments, **options)
    measure_doses(paths, [GROUP], PLACES, PLACES[0], RULES, tmp_path / "doses.parquet")
    return read_rows(tmp_path / "doses.parquet", "doses").to_pylist()


def test_slopes_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    doses, values = np.array([0.0, 0.1, 0.4]), [rng.random((2, 5)) for _ in range(3)]
    expected = np.polyfit(doses, np.stack(values).reshape(3, -1), 1)[0].reshape(2, 5)
    np.testing.assert_allclose(slope(values, doses), expected, atol=1e-12)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_planted_effect_is_found_where_it_is(tmp_path, seeds):
    rows = measured(tmp_path, np.random.default_rng(1), -0.3, seeds=seeds)
    lines = {row["split"]: row for row in rows if row["part"] == "line"}
    assert lines["test"]["ci_low"] < -0.03 < lines["test"]["ci_high"] < 0 and lines["test"]["p_adjusted"] < 0.01
    assert lines["unseen"]["ci_low"] < 0 < lines["unseen"]["ci_high"]
    assert lines["test"]["seeds"] == seeds and lines["test"]["queries"] == 150
    points = [row for row in rows if row["part"] == "dose" and row["split"] == "test"]
    assert [(row["variant"], row["dose"]) for row in points] == GROUP
    means = [row["mean"] for row in points]
    assert [row["delta"] for row in points] == pytest.approx([mean - means[0] for mean in means])
    assert points[0]["ci_low"] is None and all(row["ci_low"] < row["delta"] < row["ci_high"] for row in points[1:])
    assert lines["test"]["delta"] == pytest.approx(0.1 * np.polyfit([dose for _, dose in GROUP], means, 1)[0])


def test_the_interval_holds_the_truth_in_nineteen_studies_of_twenty(tmp_path):
    held = false = 0
    for number in range(200):
        rows = measured(tmp_path, np.random.default_rng(number), -0.1, queries=40)
        lines = {row["split"]: row for row in rows if row["part"] == "line"}
        held += lines["test"]["ci_low"] <= -0.01 <= lines["test"]["ci_high"]
        false += lines["unseen"]["p"] < 0.05
    assert held >= 180 and false <= 20


def test_the_page_and_the_figure_say_so(tmp_path):
    measured(tmp_path, np.random.default_rng(1), -0.3)
    path, svg = tmp_path / "doses.parquet", tmp_path / "doses.svg"
    first, second = doses_told(path, PLACES[0])
    assert first.startswith(
        "clean, c/test: on average over these doses each 10% of labels that are wrong changes RR@10 by "
        "\N{MINUS SIGN}0.0289 ["
    )
    assert second.startswith("clean, c/unseen: ")
    plot_doses(path, PLACES[0], ["base", *(name for name, _ in GROUP)], svg, tmp_path / "doses.png")
    assert "clean" in svg.read_text() and (tmp_path / "doses.png").stat().st_size > 5000
