"""Every figure, drawn from tables on disk: both formats, well-formed, the same bytes twice, nothing left out."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from example_study import PRIMARY, TRAINED, VARIANTS, Example
from PIL import Image

from backfire.charts.cost import plot_cost, scale
from backfire.charts.dynamics import plot_dynamics, running_mean
from backfire.charts.effects import BAND, plot_effects
from backfire.charts.projection import plot_projection
from backfire.charts.queries import LARGEST, MOVED, SMALLEST, marks, plot_queries
from backfire.charts.recommendation import plot_recommendation
from backfire.charts.style import BASE_COLOUR, PALETTE, VERDICT_COLOURS, variant_styles
from backfire.explaining.cost import cost_means
from backfire.formats.tables import read_rows, write_rows

FIGURES = {
    "dynamics": lambda study, svg, png: plot_dynamics(
        study.dynamics(), study.runs, study.variants, svg, png, study.layers()
    ),
    "projection": lambda study, svg, png: plot_projection(
        study.projection(), study.variants, dict.fromkeys(study.variants, "base"), svg, png
    ),
    "effects": lambda study, svg, png: plot_effects(study.comparison(), PRIMARY, 0.05, study.variants, svg, png),
    "queries": lambda study, svg, png: plot_queries(study.measures(), study.models, PRIMARY, svg, png),
    "cost": lambda study, svg, png: plot_cost(study.cost(), study.variants, svg, png),
    "recommendation": lambda study, svg, png: plot_recommendation(
        (study.comparison(), study.recommendation())[1], 0.05, PRIMARY, study.variants, svg, png
    ),
}


def draw(name, study):
    svg, png = study.folder / f"{name}.svg", study.folder / f"{name}.png"
    FIGURES[name](study, svg, png)
    return svg, png


def texts(svg) -> str:
    """What the figure says: matplotlib leaves each text as a comment beside its outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    tree = ElementTree.parse(svg, parser=parser)
    return "\n".join(node.text for node in tree.iter() if node.tag is ElementTree.Comment)


@pytest.mark.parametrize("name", FIGURES)
def test_both_formats_and_the_same_bytes_twice(name, tmp_path):
    study = Example(tmp_path, seeds=2)
    svg, png = draw(name, study)
    first = svg.read_bytes(), png.read_bytes()
    assert ElementTree.fromstring(first[0]).tag.endswith("svg")
    with Image.open(png) as image:
        assert image.width > 1000 and len(image.convert("L").getcolors()) > 10
    draw(name, study)
    assert (svg.read_bytes(), png.read_bytes()) == first
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", FIGURES)
def test_every_variant_is_named(name, tmp_path):
    svg, _ = draw(name, Example(tmp_path))
    said = texts(svg)
    assert all(variant in said for variant in TRAINED)


def test_effects_show_numbers_splits_and_verdict_colours(tmp_path):
    study = Example(tmp_path)
    svg, _ = draw("effects", study)
    said, drawn = texts(svg), svg.read_text()
    for split in ("pydocs/test (primary)", "pydocs/dev", "pydocs/unseen", "vaswani/test", "95 % interval"):
        assert split in said
    for row in read_rows(study.path("comparison.parquet"), "comparison").to_pylist():
        if (row["collection"], row["split"], row["measure"]) == PRIMARY and row["variant"] != "base":
            interval = f"{row['delta']:+.4f}  [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]"
            assert interval.replace("-", "\N{MINUS SIGN}") in said
    assert all(VERDICT_COLOURS[verdict] in drawn for verdict in study.verdicts.values())
    assert "within the margin of 0.005" in said and BAND in drawn


def test_effects_show_the_one_sided_interval_and_what_keeps_takes(tmp_path):
    study = Example(tmp_path)
    svg, _ = draw("effects", study)
    said = texts(svg)
    assert "one-sided, 90 %" in said
    # Two query sets of text that was not trained on, with fewer queries than the rule takes.
    assert said.count("250 queries; keeps takes 598") == 2
    thick = svg.read_text().count("stroke-width: 5")
    assert thick == 2 * len(TRAINED) + 1, "one for each variant there, and one in the legend"
    rows = read_rows(study.path("comparison.parquet"), "comparison").to_pylist()
    write_rows(study.path("here.parquet"), "comparison", [row | {"retention": None} for row in rows])
    plot_effects(study.path("here.parquet"), PRIMARY, 0.05, VARIANTS, tmp_path / "a.svg", tmp_path / "a.png")
    assert "one-sided" not in texts(tmp_path / "a.svg") and "stroke-width: 5" not in (tmp_path / "a.svg").read_text()


def test_effects_without_an_interval_still_show_the_difference(tmp_path):
    study = Example(tmp_path, extra_collection=None)
    rows = read_rows(study.comparison(), "comparison").to_pylist()
    for row in rows:
        row |= {"ci_low": None, "ci_high": None}
    write_rows(study.path("bare.parquet"), "comparison", rows)
    plot_effects(study.path("bare.parquet"), PRIMARY, 0.05, VARIANTS, tmp_path / "a.svg", tmp_path / "a.png")
    assert "[" not in texts(tmp_path / "a.svg")
    assert all(variant in texts(tmp_path / "a.svg") for variant in TRAINED)


def test_study_of_base_alone_says_so(tmp_path):
    study = Example(tmp_path, verdicts={})
    svg, _ = draw("dynamics", study)
    assert "No variant of this study was trained" in texts(svg)
    svg, _ = draw("effects", study)
    assert "no variant besides base" in texts(svg)
    assert "no variant besides base" in texts(draw("queries", study)[0])
    assert "base" in texts(draw("projection", study)[0])
    assert "Training time" not in texts(draw("cost", study)[0])


def test_queries_are_counted_above_on_and_below_the_line(tmp_path):
    study = Example(tmp_path, seeds=2)
    svg, _ = draw("queries", study)
    values = {}
    for row in read_rows(study.path("measures.parquet"), "measures").to_pylist():
        values.setdefault(row["variant"], {}).setdefault(row["query_id"], []).append(row["value"])
    said = texts(svg)
    for name in TRAINED:
        differences = [np.mean(of) - values["base"][query_id][0] for query_id, of in values[name].items()]
        signs = np.sign(np.round(differences, 12)).tolist()
        for sign, word in ((1, "above"), (0, "same"), (-1, "below")):
            assert f"{signs.count(sign)} {word}" in said
    assert "RR@10 of base" in said and "10 queries" in said


def test_queries_that_coincide_are_one_mark_that_grows_with_their_number():
    areas = marks(np.array([1, 20, 40, 4000]), 40)
    assert areas[1] == MOVED / 2 and areas[2] == MOVED and areas[0] >= SMALLEST and areas[3] == LARGEST
    assert marks(np.array([3]), 0)[0] == LARGEST


def test_dynamics_have_a_panel_for_each_quantity(tmp_path):
    svg, _ = draw("dynamics", Example(tmp_path))
    said = texts(svg)
    for title in ("Training loss", "Share of active triplets", "RR@10 on development queries", "Gradient norm"):
        assert title in said
    for title in ("Weight drift, by layer", "Gradient norm, by layer", "Changed by a step, by layer", "emb."):
        assert title in said
    assert "Weight drift" in said and "Learning rate" in said and "held-out" not in said


def test_looks_at_held_out_examples_have_panels_where_any_were_taken(tmp_path):
    study = Example(tmp_path)
    svg, png, tables = tmp_path / "a.svg", tmp_path / "a.png", study.dynamics()
    rows = read_rows(tables[1], "dynamics").to_pylist()
    looks = [{"held_out_loss": 0.2 - row["step"] / 1000, "held_out_accuracy": 0.9} for row in rows]
    write_rows(tables[1], "dynamics", [row | look for row, look in zip(rows, looks, strict=True)])
    plot_dynamics(tables, study.runs, study.variants, svg, png)
    assert "Loss on held-out examples" in texts(svg) and "Accuracy on held-out examples" in texts(svg)


def test_terms_of_a_loss_that_is_a_sum_have_panels(tmp_path):
    study = Example(tmp_path)
    svg, png, tables = tmp_path / "a.svg", tmp_path / "a.png", study.dynamics()
    rows = read_rows(tables[1], "dynamics").to_pylist()
    write_rows(tables[1], "dynamics", [row | {"loss_triplet": 0.2, "loss_anchor": 0.01} for row in rows])
    plot_dynamics(tables, study.runs, study.variants, svg, png)
    assert "Term of the loss: triplet" in texts(svg) and "Term of the loss: anchor" in texts(svg)


def test_without_a_margin_there_is_no_panel_of_active_triplets(tmp_path):
    study = Example(tmp_path)
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    plot_dynamics(study.dynamics(margin=False), study.runs, study.variants, svg, png)
    assert "active triplets" not in texts(svg) and "Training loss" in texts(svg)


def test_running_mean_keeps_constants_and_length():
    np.testing.assert_allclose(running_mean(np.full(50, 3.0), 7), 3.0)
    values = np.arange(9.0)
    np.testing.assert_allclose(running_mean(values, 3)[1:-1], values[1:-1])
    assert len(running_mean(values, 100)) == 9


def test_missing_cost_is_said_and_not_drawn_as_zero(tmp_path):
    study = Example(tmp_path)
    svg, _ = draw("cost", study)
    # base has neither training time, nor training memory, nor trainable parameters.
    assert texts(svg).split("\n").count(" none ") == 3


def test_cost_is_the_mean_of_the_seeds(tmp_path):
    study = Example(tmp_path, seeds=3)
    means, units = cost_means(study.cost())
    rows = read_rows(study.path("cost.parquet"), "cost").to_pylist()
    of = [row["value"] for row in rows if (row["variant"], row["quantity"]) == ("full_hard", "training_time")]
    assert len(of) == 3 and means["full_hard", "training_time"] == pytest.approx(np.mean(of))
    assert ("base", "training_time") not in means and units["training_time"] == "s"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(90, "s", "seconds"), (600, "s", "minutes"), (9000, "s", "hours"), (9000, "MiB", "GiB"), (5, "ms", "ms")],
)
def test_units_read_well(value, unit, shown):
    assert scale(value, unit)[1] == shown


def test_a_variant_keeps_its_colour_and_base_is_grey():
    styles = variant_styles(VARIANTS)
    assert styles["base"]["color"] == BASE_COLOUR
    assert [styles[name]["color"] for name in TRAINED] == list(PALETTE[:4])
    many = variant_styles(["base", *(f"v{number}" for number in range(15))])
    assert len({(style["color"], str(style["linestyle"])) for style in many.values()}) == 16
