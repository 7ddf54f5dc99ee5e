"""What a choice of protocol is worth: the runs it compares, and what it makes of ids and ties in one run."""

import csv

import numpy as np
import pytest

from backfire.evaluation.measures import score_run
from backfire.evaluation.protocol import compare_protocols
from backfire.evaluation.significance.intervals import bootstrap_interval
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import write_run
from backfire.keyed import keyed_rng
from backfire.study.measure_names import measure_named

MEASURES = ["RR@10", "AP", "nDCG@10"]
OWN = {"text": "default", "max_length": 256, "precision": "auto", "identical ids": "kept"}


def study(
    folder, choices=(("max_length", 128), ("precision", "fp32")), relevant_from=1, qrels=None, base=None, depth=100
):
    """Files of a study: base, whose ranking the choice max_length-128 turns round for every second query."""
    if base is None:
        base = {f"q{n}": [(f"d{(n + k) % 9}", 1 - k / 10) for k in range(9)] for n in range(30)}
    qrels = qrels or {query: {f"d{n % 5}": 2, f"d{n % 7 + 1}": 1} for n, query in enumerate(base)}
    turned = {
        query: [(doc, hits[-1 - k][1]) for k, (doc, _) in enumerate(hits[::-1])] if n % 2 else hits
        for n, (query, hits) in enumerate(base.items())
    }
    turned = {query: [(doc, 1 - k / 10) for k, (doc, _) in enumerate(hits)] for query, hits in turned.items()}
    runs = {"own": base, "max_length": turned, "precision": base}
    for name, run in runs.items():
        write_run(folder / f"{name}.trec", run.items(), name)
    rows = [
        {"query_id": query, "doc_id": doc, "relevance": grade}
        for query, judged in qrels.items()
        for doc, grade in judged.items()
    ]
    write_rows(folder / "qrels.parquet", "qrels", rows)
    files = folder / "protocol.parquet", folder / "protocol.csv"
    compare_protocols(
        run=folder / "own.trec",
        qrels=folder / "qrels.parquet",
        others=[folder / f"{factor}.trec" for factor, _ in choices],
        choices=choices,
        own=OWN,
        place=["msmarco", "dev"],
        measures=MEASURES,
        relevant_from=relevant_from,
        depth=depth,
        alpha=0.05,
        resamples=500,
        seed=0,
        parquet=files[0],
        csv=files[1],
    )
    return read_rows(files[0], "protocol").to_pylist(), runs, qrels


def of(rows, factor, choice, measure="RR@10"):
    found = [row for row in rows if (row["factor"], row["choice"], row["measure"]) == (factor, choice, measure)]
    assert len(found) == 1
    return found[0]


def values(run, qrels, measure, relevant_from=1):
    found = score_run(run.items(), qrels, {measure: measure_named(measure, relevant_from)})[measure]
    return np.array([found[query] for query in sorted(qrels)])


def test_each_factor_begins_with_the_studys_own_protocol(tmp_path):
    rows, *_ = study(tmp_path)
    assert list(dict.fromkeys((row["factor"], row["choice"], row["own"]) for row in rows)) == [
        ("max_length", "256", True),
        ("max_length", "128", False),
        ("precision", "auto", True),
        ("precision", "fp32", False),
        ("ties", "by passage id", True),
        ("ties", "best", False),
        ("ties", "worst", False),
    ]
    assert [row["measure"] for row in rows] == MEASURES * 7
    own = [row for row in rows if row["own"]]
    assert {(row["delta"], row["ci_low"], row["ci_high"], row["changed"]) for row in own} == {(0, None, None, 0)}
    assert {(row["collection"], row["split"], row["queries"]) for row in rows} == {("msmarco", "dev", 30)}


@pytest.mark.parametrize("relevant_from", [1, 2])
def test_differences_are_paired_by_query_and_count_the_grade_of_the_split(tmp_path, relevant_from):
    rows, runs, qrels = study(tmp_path, relevant_from=relevant_from)
    for measure in MEASURES:
        row = of(rows, "max_length", "128", measure)
        own, other = (values(runs[name], qrels, measure, relevant_from) for name in ("own", "max_length"))
        assert row["mean"] == pytest.approx(other.mean())
        assert row["delta"] == pytest.approx((other - own).mean())
        assert row["changed"] == (other != own).sum() > 0
        rng = keyed_rng("protocol", 0, "max_length", "128", "msmarco", "dev", measure)
        assert (row["ci_low"], row["ci_high"]) == bootstrap_interval(other - own, 0.95, 500, rng)
    same = of(rows, "precision", "fp32")
    assert (same["delta"], same["changed"], same["ci_low"], same["ci_high"]) == (0, 0, 0, 0)


def test_another_choice_changes_no_interval_and_the_file_repeats(tmp_path):
    (tmp_path / "both").mkdir()
    (tmp_path / "one").mkdir()
    both, *_ = study(tmp_path / "both")
    one, *_ = study(tmp_path / "one", choices=[("max_length", 128)])
    assert [row for row in both if row["factor"] != "precision"] == one
    before = (tmp_path / "one/protocol.parquet").read_bytes()
    study(tmp_path / "one", choices=[("max_length", 128)])
    assert (tmp_path / "one/protocol.parquet").read_bytes() == before


def test_the_text_file_holds_the_same_numbers(tmp_path):
    rows, *_ = study(tmp_path)
    with (tmp_path / "protocol.csv").open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == SCHEMAS["protocol"].names
    assert [float(row["mean"]) for row in read] == [row["mean"] for row in rows]
    assert [row["own"] for row in read] == [str(row["own"]) for row in rows]


def test_a_tie_that_the_depth_cut_is_worth_its_bounds(tmp_path):
    """The last places may go to a relevant passage that was cut off, or the relevant one may lose its own."""
    base = {"1": [("a", 0.9), ("b", 0.5), ("c", 0.5)], "2": [("a", 0.9), ("b", 0.5), ("c", 0.5)]}
    qrels = {"1": {"c": 1}, "2": {"d": 1}}
    for depth, best, worst in ((3, (1 / 2 + 1 / 2) / 2, 0), (4, (1 / 2 + 0) / 2, (1 / 3 + 0) / 2)):
        rows, *_ = study(tmp_path, choices=[], qrels=qrels, base=base, depth=depth)
        assert of(rows, "ties", "by passage id")["mean"] == pytest.approx(1 / 6)
        assert [of(rows, "ties", order)["mean"] for order in ("best", "worst")] == pytest.approx([best, worst])
