"""Bounds over the orders of equal scores, against every order there is."""

import math
from itertools import groupby, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.evaluation.measures import measure_run, score_run, score_ties
from backfire.evaluation.ties import ordered, ordered_ties, tie_bounds
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import write_run
from backfire.study.measure_names import measure_named

NAMES = ["RR@10", "RR@2", "nDCG@10", "nDCG@3", "AP", "R@3", "P@3", "Success@2", "RR(rel=2)@10"]
UNCUT = 1000


def of(ranking, grades, names=NAMES):
    """Values of one ranking, by measure."""
    found = score_run([("q", ranking)], {"q": grades}, {name: measure_named(name) for name in names})
    return {name: values["q"] for name, values in found.items()}


def bounded(ranking, grades, depth=UNCUT, names=NAMES):
    """(worst, value, best) of one ranking, by measure."""
    values, bounds = score_ties([("q", ranking)], {"q": grades}, {name: measure_named(name) for name in names}, depth)
    found = {name: (values[name]["q"], bounds[name].get("q", (values[name]["q"],) * 2)) for name in names}
    return {name: (ends[0], value, ends[1]) for name, (value, ends) in found.items()}


def orders(ranking):
    """All rankings whose scores descend, by enumeration."""
    groups = [permutations(list(tied)) for _, tied in groupby(ranking, key=lambda hit: hit[1])]
    return [[hit for group in found for hit in group] for found in product(*groups)]


@st.composite
def tied_rankings(draw, most=6):
    """(ranking, grades): few passages of fewer scores, some judged, some of the judged not ranked."""
    docs = [f"d{number}" for number in range(most + 2)]
    scores = draw(st.dictionaries(st.sampled_from(docs), st.sampled_from([0.9, 0.5]), min_size=2, max_size=most))
    grades = draw(st.dictionaries(st.sampled_from(docs), st.sampled_from([0, 1, 1, 2]), min_size=1, max_size=5))
    return sorted(scores.items(), key=lambda hit: (-hit[1], hit[0])), grades


@settings(max_examples=60, deadline=None)
@given(tied_rankings())
def test_worst_and_best_are_those_of_all_orders(study):
    """The same floats, for every measure."""
    ranking, grades = study
    every = [of(order, grades) for order in orders(ranking)]
    for name, (worst, value, best) in bounded(ranking, grades).items():
        values = [found[name] for found in every]
        assert (worst, value, best) == (min(values), of(ranking, grades)[name], max(values)), name


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2),
    st.integers(2, 3),
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([0, 1, 1, 2]), min_size=1, max_size=5),
)
def test_a_cut_tie_is_bounded_by_all_orders_of_what_it_may_hold(before, tied, grades):
    """All choices of the last places among the tied passages, the judged ones that the run lacks, and unjudged ones."""
    docs = [*"abcdefgh"][: before + tied]
    head, tail = [(doc, 0.9 - place / 10) for place, doc in enumerate(docs[:before])], docs[before:]
    lacking = [doc for doc in grades if doc not in docs]
    every = [
        of(head + [(doc, 0.5) for doc in places], grades)
        for places in permutations([*tail, *lacking, "x", "y", "z"], tied)
    ]
    ranking = head + [(doc, 0.5) for doc in tail]
    for name, (worst, value, best) in bounded(ranking, grades, len(ranking)).items():
        values = [found[name] for found in every]
        assert (worst, value, best) == (min(values), of(ranking, grades)[name], max(values)), name


def test_a_constant_scorer_has_a_wide_band_and_never_a_rank():
    """Sorted by id, the relevant passage comes first by accident; its run says nothing about any order."""
    ranking = [(f"d{number:03}", 0.7) for number in range(100)]
    for relevant in ("d000", "d050", "absent"):
        worst, value, best = bounded(ranking, {relevant: 1}, 100, ["RR@10"])["RR@10"]
        assert (worst, best) == (0, 1) and value == (relevant == "d000")
    # A corpus of 100 passages, all of them ranked: the tie is whole, and its last place is worth 1/100.
    assert bounded(ranking, {"d050": 1}, 101, ["RR"])["RR"] == (1 / 100, 1 / 51, 1)
    assert bounded(ranking, {"absent": 1}, 101, ["RR"])["RR"] == (0, 0, 0)


def test_a_tie_is_cut_only_at_the_depth_and_only_where_two_passages_show_it():
    grades = {"b": 1, "absent": 2}
    hits = [("a", 0.9), ("b", 0.5), ("c", 0.5)]
    assert tie_bounds(hits, grades, 4) == ([hits[0], hits[2], hits[1]], hits)
    worst, best = tie_bounds(hits, grades, 3)
    assert [doc for doc, _ in best] == ["a", "absent", "b"]
    assert [doc for doc, _ in worst] == ["a", "c", "beyond-0"]
    assert {score for _, score in [*worst[1:], *best[1:]]} == {0.5}
    assert tie_bounds(hits[:2], grades, 2) is None
    assert tie_bounds([("a", 0.9), ("c", 0.9), ("b", 0.5)], grades, 3) is None


def test_passages_beyond_a_cut_tie_take_no_id_that_there_is():
    hits = [("beyond-0", 0.5), ("b", 0.5), ("c", 0.5)]
    grades = {"b": 1, "c": 1, "beyond-1": -1}
    assert [doc for doc, _ in ordered(hits, grades, False, 3)] == ["beyond-0", "beyond-2", "beyond-3"]


@settings(max_examples=60, deadline=None)
@given(st.permutations([f"d{number}" for number in range(14)]), st.integers(1, 14), st.integers(0, 3))
def test_without_ties_the_bounds_are_the_value(docs, depth, grade):
    ranking = [(doc, 1 - place / 100) for place, doc in enumerate(docs[:depth])]
    grades = {"d3": grade, "d5": 1, "d7": 2}
    assert tie_bounds(ranking, grades, depth) is None
    named = {name: measure_named(name) for name in NAMES}
    values, bounds = score_ties([("q", ranking)], {"q": grades}, named, depth)
    assert values == score_run([("q", ranking)], {"q": grades}, named)
    assert bounds == {name: {} for name in NAMES}


def test_ties_of_one_grade_are_not_scored_again(monkeypatch):
    calls = []
    monkeypatch.setattr("backfire.evaluation.ties.ordered", lambda *arguments: calls.append(arguments))
    hits = [("a", 0.9), ("b", 0.5), ("c", 0.5), ("d", 0.1)]
    assert tie_bounds(hits, {"a": 1, "d": 2}, 4) is None and not calls
    monkeypatch.undo()
    assert tie_bounds(hits, {"b": 1, "c": 1}, 4) is None


def test_order_of_ties_moves_no_other_passage():
    hits = [("a", 0.9), ("c", 0.5), ("b", 0.5), ("d", 0.5)]
    assert dict(ordered_ties([("q", hits)], {"q": {"d": 1}}, True)) == {"q": [hits[0], hits[3], hits[1], hits[2]]}
    assert dict(ordered_ties([("q", hits)], {"q": {"c": 1}}, False)) == {"q": [hits[0], hits[2], hits[3], hits[1]]}
    assert dict(ordered_ties([("unjudged", hits)], {}, True)) == {"unjudged": hits}


def test_blocks_of_queries_change_no_bound(monkeypatch):
    run = {f"q{n}": [(f"d{k}", 0.5 if k % 3 else 0.9 - n) for k in range(9)] for n in range(5)}
    run = {query: sorted(hits, key=lambda hit: (-hit[1], hit[0])) for query, hits in run.items()}
    qrels = {f"q{n}": {f"d{n}": 1, "d8": 2, "d99": 1} for n in range(6)}
    named = {name: measure_named(name) for name in NAMES}
    whole = score_ties(run.items(), qrels, named, 9)
    monkeypatch.setattr("backfire.evaluation.measures.QUERY_BLOCK", 2)
    assert score_ties(run.items(), qrels, named, 9) == whole
    assert set(whole[0]["AP"]) == set(qrels) and 0 < len(whole[1]["AP"]) <= 5


@pytest.mark.parametrize("scores", ["distinct", "one"])
def test_the_table_holds_means_over_all_queries(tmp_path, scores):
    """Four queries: answered first, answered last, not answered, and without results."""
    run = {
        query: [(f"d{place}", 0.5 if scores == "one" else 1 - place / 10) for place in range(4)]
        for query in ("first", "last", "absent")
    }
    answers = {"first": "d0", "last": "d3", "absent": "d9", "unranked": "d0"}
    rows = [{"query_id": query, "doc_id": doc, "relevance": 1} for query, doc in answers.items()]
    write_rows(tmp_path / "qrels.parquet", "qrels", rows)
    write_run(tmp_path / "run.trec", run.items(), "base")
    files = [tmp_path / "run.trec"], [tmp_path / "qrels.parquet"]
    outputs = tmp_path / "measures.parquet", tmp_path / "ties.parquet"
    measure_run(*files, [["mine", "test"]], [1], ["RR@10", "R@100"], 4, "base", 3, *outputs)
    values = read_rows(outputs[0], "measures").to_pylist()
    rr, recall = read_rows(outputs[1], "ties").to_pylist()
    assert {key: rr[key] for key in ("variant", "seed", "collection", "split", "measure", "queries")} == {
        "variant": "base", "seed": 3, "collection": "mine", "split": "test", "measure": "RR@10", "queries": 4,
    }  # fmt: skip
    assert rr["value"] == math.fsum(row["value"] for row in values if row["measure"] == "RR@10") / 4
    for row, value in ((rr, 1.25 / 4), (recall, 2 / 4)):
        band = (row["worst"], row["value"], row["best"], row["tied_queries"])
        assert band == ((value, value, value, 0) if scores == "distinct" else (0, value, 3 / 4, 3))
