"""Latency of models side by side: what is timed, in which order, and which percentiles there are."""

import shutil

import numpy as np
import pytest
from small_models import LAYOUTS

from backfire.encoders.certificate import certify
from backfire.explaining.cost import Latency, collect_cost
from backfire.explaining.latency import Model, measure_latency
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows, write_rows
from backfire.report.tables import latency_table

pytestmark = pytest.mark.usefixtures("one_thread")
QUERIES = {f"q{number}": f"the {'very ' * (number % 5)}small query {number}" for number in range(12)}
LAYOUT = "bert-mean"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A base, and a model that peft made of it: adapters that are not zero, merged, and as peft saves them."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("models")
    base, tuned = LAYOUTS[LAYOUT].build(folder / "base"), folder / "tuned"
    shutil.copytree(base, tuned)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], init_lora_weights=False)
    adapted = get_peft_model(AutoModel.from_pretrained(base), settings)
    adapted.save_pretrained(tuned / "adapter")
    adapted.merge_and_unload().save_pretrained(tuned)
    for each in (base, tuned):
        certify(each, each.name)
    return [Model("base", 0, str(base), None), Model("tuned", 1, str(tuned), str(base))]


@pytest.fixture(scope="module")
def measured(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    queries, times, quantities = (str(folder / f"{name}.parquet") for name in ("queries", "times", "quantities"))
    write_rows(queries, "queries", [{"query_id": name, "text": text} for name, text in QUERIES.items()])
    measure_latency(
        models,
        queries,
        count=10,
        batches=[1, 4, 30],
        rounds=3,
        max_length=16,
        precision="fp32",
        label="latency",
        times=times,
        quantities=quantities,
    )
    return folder, times, quantities


def test_every_model_is_timed_on_every_batch_merged_and_unmerged(measured):
    rows = read_rows(measured[1], "latency").to_pylist()
    kinds = {("base", 0, None), ("tuned", 1, "merged"), ("tuned", 1, "unmerged")}
    for batch, rounds in ((1, 10), (4, 3), (30, 3)):
        found = [row for row in rows if row["batch"] == batch]
        assert {(row["variant"], row["seed"], row["adapter"], row["round"]) for row in found} == {
            (*kind, number) for kind in kinds for number in range(rounds)
        }
        assert len(found) == 3 * rounds
    assert all(row["milliseconds"] > 0 for row in rows)


def test_models_take_turns_in_an_order_that_changes(measured):
    rows = [row for row in read_rows(measured[1], "latency").to_pylist() if row["batch"] == 1]
    turns = [[(row["variant"], row["adapter"]) for row in rows[start : start + 3]] for start in range(0, len(rows), 3)]
    assert all(len(set(turn)) == 3 for turn in turns), "no model comes again before all others came"
    assert len({turn[0] for turn in turns}) == 3, "each of them is first at times"


def test_parameters_are_counted_and_an_adapter_beside_the_weights_gives_the_merged_vectors(measured, models):
    from transformers import AutoModel

    rows = read_rows(measured[2], "cost").to_pylist()
    values = {(row["variant"], row["quantity"]): row["value"] for row in rows}
    assert {row["quantity"] for row in rows if row["variant"] == "base"} == {"total_parameters"}
    assert values["base", "total_parameters"] == AutoModel.from_pretrained(models[0].folder).num_parameters()
    assert values["tuned", "total_parameters"] == values["base", "total_parameters"]
    assert 0 <= values["tuned", "unmerged_difference"] < 1e-5


def test_an_adapter_that_is_not_the_one_merged_shows_as_a_difference(models, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(models[1].folder, other)
    shutil.copy(f"{models[0].folder}/model.safetensors", other / "model.safetensors")
    certify(other, "other")
    queries, quantities = str(tmp_path / "queries.parquet"), str(tmp_path / "quantities.parquet")
    write_rows(queries, "queries", [{"query_id": name, "text": text} for name, text in QUERIES.items()])
    unlike = [models[0], Model("other", 0, str(other), models[0].folder)]
    options = {"count": 2, "batches": [1], "rounds": 2, "max_length": 16, "precision": "fp32", "label": "latency"}
    measure_latency(unlike, queries, **options, times=str(tmp_path / "times.parquet"), quantities=quantities)
    apart = [
        row["value"] for row in read_rows(quantities, "cost").to_pylist() if row["quantity"].startswith("unmerged")
    ]
    assert apart[0] > 1e-3


def test_percentiles_are_numpys_and_only_those_that_have_a_time_beyond_them(tmp_path):
    rng = np.random.default_rng(1)
    times, quantities, cost = (str(tmp_path / f"{name}.parquet") for name in ("times", "quantities", "cost"))
    drawn = {(1, None): rng.gamma(2, 3, 100), (32, None): rng.gamma(2, 9, 10), (256, "unmerged"): rng.gamma(2, 70, 5)}
    rows = [
        {"variant": "base", "seed": 0, "adapter": adapter, "batch": batch, "round": number, "milliseconds": value}
        for (batch, adapter), values in drawn.items()
        for number, value in enumerate(values.tolist())
    ]
    write_rows(times, "latency", rows)
    count = {"variant": "base", "seed": 0, "quantity": "total_parameters", "value": 7.0, "unit": "count"}
    write_rows(quantities, "cost", [count])
    part = str(tmp_path / "part.json")
    write_json(part, {"training_time": 3.0})
    collect_cost([("base", 0)], {("base", 0): [part]}, quantities, times, cost)
    found = {row["quantity"]: (row["value"], row["unit"]) for row in read_rows(cost, "cost").to_pylist()}
    expected = {
        Latency(percentile, batch, adapter == "unmerged").quantity: (
            np.percentile(drawn[batch, adapter], percentile),
            "ms",
        )
        for (batch, adapter), several in {
            (1, None): (50, 90, 95, 99),
            (32, None): (50, 90),
            (256, "unmerged"): (50,),
        }.items()
        for percentile in several
    }
    assert found == expected | {"total_parameters": (7.0, "count"), "training_time": (3.0, "s")}
    write_rows(times, "latency", rows[:1])
    collect_cost([("base", 0)], {("base", 0): [part]}, quantities, times, cost)
    alone = [row["quantity"] for row in read_rows(cost, "cost").to_pylist() if "latency" in row["quantity"]]
    assert alone == ["query_latency_p50"], "of a single query too"
    assert "query_latency_p99" in found and "query_latency_p50_of_256_unmerged" in found


@pytest.mark.parametrize("latency", [Latency(50), Latency(99, 32), Latency(90, 256, True), Latency(50, 1, True)])
def test_a_quantity_says_which_latency_it_is(latency):
    assert Latency.named(latency.quantity) == latency
    assert Latency.named("training_time") is None and Latency.named(f"{latency.quantity}_more") is None


def test_the_report_shows_every_size_and_what_an_unmerged_adapter_costs(measured, tmp_path):
    cost, part = str(tmp_path / "cost.parquet"), str(tmp_path / "part.json")
    write_json(part, {})
    parts = {run: [part] for run in (("base", 0), ("tuned", 1))}
    collect_cost(list(parts), parts, measured[2], measured[1], cost)
    table = latency_table(cost, ["base", "tuned"])
    assert [row["variant"] for row in table["rows"]] == ["base", "tuned", "tuned, adapter not merged"]
    assert [(batch["name"], batch["percentiles"]) for batch in table["batches"]] == [
        ("1 query", ["p50", "p90"]),
        ("4 queries", ["p50"]),
        ("30 queries", ["p50"]),
    ]
    assert all(len(row["cells"]) == 4 and "\N{EM DASH}" not in row["cells"] for row in table["rows"])
    values = {(row["variant"], row["quantity"]): row["value"] for row in read_rows(cost, "cost").to_pylist()}
    ratio = values["tuned", "query_latency_p50_of_4_unmerged"] / values["tuned", "query_latency_p50_of_4"]
    (note,) = table["notes"]
    assert note.startswith("tuned: ") and f"{ratio:.2f} times (4 queries)" in note
