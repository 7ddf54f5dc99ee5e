"""What is checked at the end of every study: the finished tiny study passes, and each fault in it is told."""

import shutil

import pandas as pd
import pyarrow as pa
import pytest

from backfire.checks.results import CHECKS, TABLES, check_results
from backfire.checks.verdicts import FILLED
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_rows
from backfire.study.study import Study
from merged import merged_config

pytestmark = pytest.mark.workflow


def config_of(root):
    """The configuration of the tiny study, merged as Snakemake merges it."""
    return merged_config(root, "tests/studies/tiny.yaml")


@pytest.fixture
def study(tiny, root, tmp_path):
    """The arguments of `check_results` for a copy of the tiny study's tables and page; models are not copied."""
    results, copy, config = tiny.directory / "results/tiny", tmp_path / "tiny", config_of(root)
    shutil.copytree(results, copy, ignore=lambda _, names: {"models", "embeddings", "index", "tokens", "checkpoints"})
    found = Study(config)
    return {
        "tables": {name: copy / f"{name}.parquet" for name in (*TABLES, "protocol")},
        "csv": copy / "comparison.csv",
        "main": copy / "tables/main.csv",
        "dynamics": {run: copy / f"dynamics/{run[0]}/seed-{run[1]}.parquet" for run in found.trained_runs},
        "layers": {run: copy / f"dynamics/{run[0]}/seed-{run[1]}.layers.parquet" for run in found.trained_runs},
        "models": {run: results / f"models/{run[0]}/seed-{run[1]}" for run in found.runs},
        "manifests": {name: tiny.directory / f"data/{name}/manifest.json" for name in found.collections},
        "page": copy / "report.html",
        "config": config,
        "output": tmp_path / "checks.json",
    }


def test_every_study_ends_with_the_checks(tiny):
    passed = read_json(tiny.directory / "results/tiny/checks.json")["passed"]
    assert passed == [check.__name__ for check in CHECKS]


def test_a_column_more_needs_a_word_on_when_it_has_a_value():
    assert set(SCHEMAS["comparison"].names) <= FILLED.keys()


def test_retention_is_filled_and_nothing_else_where_it_means_nothing(study):
    rows = read_rows(study["tables"]["comparison"], "comparison").to_pylist()
    told = {(row["variant"] != "base", row["split"]) for row in rows if row["retention"] is not None}
    assert told == {(True, "unseen")}


def change(path, kind, edit):
    """Write a table again with its rows changed by `edit`, which takes and gives a list of rows."""
    write_rows(path, kind, pa.Table.from_pylist(edit(read_rows(path, kind).to_pylist()), SCHEMAS[kind]))


def column(name, value, where=lambda row: True):
    """An edit that sets a column in the first row of a tuned variant that `where` holds for."""

    def edit(rows):
        row = next(row for row in rows if row.get("variant") != "base" and where(row))
        row[name] = value(row[name]) if callable(value) else value
        return rows

    return edit


def tried(row):
    return not row["own"]


def elsewhere(row):
    return row["split"] == "unseen"


@pytest.mark.parametrize(
    ("table", "edit", "told"),
    [
        ("comparison", column("retention", None, elsewhere), "retention has no value"),
        ("comparison", column("ci_high", None), "ci_high has no value"),
        ("comparison", column("p_adjusted", None), "p_adjusted has no value"),
        ("comparison", column("wins", lambda value: value + 1), "do not add up"),
        ("comparison", column("ci_low", lambda value: 1.0), "the interval does not hold"),
        ("comparison", column("mean", lambda value: value + 0.01), "the mean is not that of the measures"),
        ("comparison", lambda rows: rows[:-1], "there is no row for"),
        ("comparison", lambda rows: [*rows, rows[-1]], "occurs twice"),
        ("measures", lambda rows: rows[1:], "not"),
        ("measures", column("value", 1.5), "not between 0 and 1"),
        ("ties", column("worst", 2.0), "wrong side of its mean"),
        ("geometry", column("value", None), "has no"),
        ("geometry", lambda rows: [row for row in rows if row["quantity"] != "base_cosine"], "has no base_cosine"),
        ("cost", lambda rows: [row for row in rows if row["quantity"] != "training_time"], "has no training_time"),
        ("strata", column("queries", lambda value: value + 1), "do not add up"),
        ("moved", lambda rows: rows[:0], "are listed"),
        ("projection", lambda rows: rows[:-1], "has no map"),
        ("recommendation", lambda rows: rows[:-1], "its systems are not base and the claims"),
        ("recommendation", column("delta", lambda value: value + 0.01), "a difference is not that of the comparison"),
        ("recommendation", lambda rows: [row | {"standing": "other"} for row in rows], "not one system is recommended"),
        ("recommendation", column("setup_time", -1.0), "a cost is below 0"),
        ("protocol", lambda rows: rows[:-1], "no row for ties worst, AP"),
        ("protocol", lambda rows: [*rows, rows[-1]], "occurs twice"),
        ("protocol", column("split", "unseen"), "it is about"),
        ("protocol", column("queries", lambda value: value - 1), "it is the mean of .* queries, not"),
        ("protocol", column("mean", lambda value: value / 2), "the mean is not that of the measures"),
        ("protocol", column("delta", lambda value: value + 0.01, tried), "the difference is not that of the means"),
        ("protocol", column("changed", 10**6, tried), "cannot change"),
        ("protocol", column("changed", 1), "own protocol has a difference from itself"),
        ("protocol", column("ci_low", None, tried), "the interval has no value"),
        ("protocol", column("ci_low", 1.0, tried), "the interval does not hold"),
    ],
)
def test_a_fault_in_a_table_is_told(study, table, edit, told):
    change(study["tables"][table], table, edit)
    with pytest.raises(BackfireError, match=told):
        check_results(**study)
    assert not study["output"].exists()


def test_a_table_that_the_study_should_have_or_not_is_told(study):
    del study["tables"]["protocol"]
    with pytest.raises(BackfireError, match="the table protocol is missing"):
        check_results(**study)
    study["config"] |= {"selections": {"source": {"among": ["full_bm25", "lora_hard"], "measure": "RR@10"}}}
    with pytest.raises(BackfireError, match="the table selection is missing"):
        check_results(**study)


def test_a_model_that_is_its_start_is_told(study):
    study["models"]["full_bm25", 0] = study["models"]["base", 0]
    with pytest.raises(BackfireError, match="its weights are those of base"):
        check_results(**study)


def test_a_training_that_moved_nothing_is_told(study):
    path = study["dynamics"]["lora_hard", 0]
    still = read_rows(path, "dynamics").to_pandas().assign(weight_drift=0.0)
    write_rows(path, "dynamics", still.astype(object).where(pd.notna(still), None).to_dict("records"))
    with pytest.raises(BackfireError, match="lora_hard seed 0: its weights never moved"):
        check_results(**study)


def test_layers_that_do_not_add_up_are_told(study):
    path = study["layers"]["lora_hard", 0]
    rows = read_rows(path, "layers").to_pylist()
    write_rows(path, "layers", [*rows[:-1], rows[-1] | {"grad_norm": 2 * rows[-1]["grad_norm"] + 1}])
    with pytest.raises(BackfireError, match="check_layers: lora_hard seed 0: gradients of layers do not add up"):
        check_results(**study)
    write_rows(path, "layers", [row for row in rows if row["step"] < rows[-1]["step"]])
    with pytest.raises(BackfireError, match="check_layers: lora_hard seed 0: layers are not told for each look"):
        check_results(**study)


def test_weights_of_another_step_than_the_best_are_told(study, tmp_path):
    folder = shutil.copytree(study["models"]["lora_hard", 0], tmp_path / "lora_hard")
    notes = read_json(folder / "training.json")
    other = 3 - notes["kept"]["step"]
    write_json(folder / "training.json", notes | {"kept": {"step": other, "steps": 2}})
    study["models"]["lora_hard", 0] = folder
    with pytest.raises(BackfireError, match=f"lora_hard seed 0: kept are the weights of step {other}, and not of step"):
        check_results(**study)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('id="maps"', 'id="atlas"', "the section 'maps' of the report is missing"),
        ("lora_hard", "another", "does not name lora_hard"),
        ("One seed", "nan seed", "the report says 'nan'"),
    ],
)
def test_a_fault_in_the_page_is_told(study, before, after, told):
    html = study["page"].read_text(encoding="utf-8")
    assert before in html
    study["page"].write_text(html.replace(before, after), encoding="utf-8")
    with pytest.raises(BackfireError, match=told):
        check_results(**study)


def test_a_section_without_content_is_told(study):
    html = study["page"].read_text(encoding="utf-8")
    start = html.index('<section id="cost"')
    end = html.index("</section>", start)
    study["page"].write_text(html[:start] + '<section id="cost"><h2>Cost</h2>' + html[end:], encoding="utf-8")
    with pytest.raises(BackfireError, match="'cost' of the report is missing or says nothing"):
        check_results(**study)


def test_a_query_that_the_manifest_counts_and_no_table_has_is_told(study, tmp_path):
    manifest = read_json(study["manifests"]["tiny"])
    manifest["splits"]["test"]["queries"]["kept"] += 1
    write_json(tmp_path / "manifest.json", manifest)
    study["manifests"] = {"tiny": tmp_path / "manifest.json"}
    with pytest.raises(BackfireError, match="has RR@10 of"):
        check_results(**study)
