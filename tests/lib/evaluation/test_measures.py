"""Per-query values against pytrec_eval called directly and a scorer of its own."""

import math
import random

import ir_measures
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.errors import BackfireError
from backfire.evaluation.measures import collect_measures, mean_measures, measure_run, read_qrels, score_run
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import write_run
from backfire.study.measure_names import measure_named

NAMES = ["RR@10", "nDCG@10", "R@100", "AP"]
TREC_EVAL = {
    "RR": "recip_rank",
    "nDCG": "ndcg",
    "nDCG@10": "ndcg_cut_10",
    "R@100": "recall_100",
    "R@5": "recall_5",
    "AP": "map",
    "AP@10": "map_cut_10",
    "P@5": "P_5",
    "Success@5": "success_5",
    "Rprec": "Rprec",
}


def ms_marco_values(run, qrels, from_grade=1):
    """Reciprocal ranks as msmarco_passage_eval.py sums them: the first relevant passage among the first ten counts.

    That script divides by the number of queries in the qrels, ranked or not, so a query that it skips is a 0.
    """
    relevant = {
        query_id: {doc_id for doc_id, grade in judged.items() if grade >= from_grade}
        for query_id, judged in qrels.items()
    }
    candidates = {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in run.items()}
    values = dict.fromkeys(relevant, 0.0)
    for query_id in candidates:
        if query_id in relevant:
            for position in range(min(10, len(candidates[query_id]))):
                if candidates[query_id][position] in relevant[query_id]:
                    values[query_id] += 1 / (position + 1)
                    break
    return values


def trec_eval_values(run, qrels, names, from_grade=1):
    """Values by pytrec_eval itself; it orders equal scores by id descending, so it gets scores that tell our order.

    It leaves out queries that are not ranked, which its option -c would count as 0.
    """
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {TREC_EVAL[name] for name in names}, relevance_level=from_grade)
    found = evaluator.evaluate(
        {
            query_id: {doc_id: float(-place) for place, (doc_id, _) in enumerate(ranking)}
            for query_id, ranking in run.items()
        }
    )
    return {
        name: {query_id: found[query_id][TREC_EVAL[name]] if query_id in found else 0.0 for query_id in qrels}
        for name in names
    }


def scored(run, qrels, names=NAMES):
    return score_run(run.items(), qrels, {name: measure_named(name) for name in names})


def random_study(seed, queries=60, grades=(0, 1, 2, 3), ties=False):
    random.seed(seed)
    docs = [f"d{number}" for number in range(300)]
    qrels = {
        f"q{query}": {doc: random.choice(grades) for doc in random.sample(docs, random.randint(1, 12))}
        for query in range(queries)
    }
    run = {}
    for query_id in qrels:
        found = random.sample(docs, random.randint(1, 200))
        scores = [random.choice([0.25, 0.5]) if ties else random.random() for _ in found]
        run[query_id] = sorted(zip(found, scores, strict=True), key=lambda hit: (-hit[1], hit[0]))
    return run, qrels


@st.composite
def studies(draw, grades=(0, 1, 2, 3)):
    """Few passages and fewer scores: ties, queries with nothing relevant, and queries without results are common."""
    docs = st.sampled_from([f"d{number}" for number in range(24)])
    qrels = draw(
        st.dictionaries(
            st.sampled_from([f"q{number}" for number in range(6)]),
            st.dictionaries(docs, st.sampled_from(grades), min_size=1, max_size=8),
            min_size=1,
        )
    )
    scores = st.dictionaries(docs, st.sampled_from([-0.5, 0.0, 0.25, 0.5]), min_size=1)
    found = {query_id: draw(scores) for query_id in qrels if draw(st.integers(0, 3))}
    run = {query_id: sorted(hits.items(), key=lambda hit: (-hit[1], hit[0])) for query_id, hits in found.items()}
    return run, qrels


@settings(max_examples=200, deadline=None)
@given(studies())
def test_equals_pytrec_eval_and_the_scorer_of_ms_marco(study):
    """Exactly: on ties, on grades, on queries with nothing relevant and on queries without results."""
    run, qrels = study
    assert scored(run, qrels, list(TREC_EVAL)) == trec_eval_values(run, qrels, list(TREC_EVAL))
    assert scored(run, qrels, ["RR@10"])["RR@10"] == ms_marco_values(run, qrels)


@settings(max_examples=100, deadline=None)
@given(studies(), st.integers(1, 3))
def test_equals_both_where_higher_grades_are_relevant(study, grade):
    """trec_eval's option -l, and MS MARCO's scorer given the passages of these grades only."""
    run, qrels = study
    names = [name for name in TREC_EVAL if not name.startswith("nDCG")]
    named = {name: measure_named(name, grade) for name in [*names, "RR@10"]}
    expected = trec_eval_values(run, qrels, names, grade) | {"RR@10": ms_marco_values(run, qrels, grade)}
    assert score_run(run.items(), qrels, named) == expected


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("grades", [(1,), (0, 1), (0, 1, 2, 3)])
def test_equals_both_on_longer_rankings(grades, ties):
    run, qrels = random_study(1, queries=200, grades=grades, ties=ties)
    run = dict(list(run.items())[5:])
    found = scored(run, qrels, [*TREC_EVAL, "RR@10"])
    assert found == trec_eval_values(run, qrels, list(TREC_EVAL)) | {"RR@10": ms_marco_values(run, qrels)}
    for name, values in found.items():
        assert 0 < sum(values.values()) < len(values), name


@settings(max_examples=50, deadline=None)
@given(studies())
def test_the_mean_is_over_all_queries_with_judgments(study):
    """As MS MARCO's scorer has it; the sum is taken exactly, so that no order of queries shows in it."""
    run, qrels = study
    judgments = [(query, doc, grade) for query, judged in qrels.items() for doc, grade in judged.items()]
    expected = trec_eval_values(run, qrels, ["AP", "nDCG@10"]) | {"RR@10": ms_marco_values(run, qrels)}
    assert mean_measures(list(expected), judgments, run) == {
        name: math.fsum(values.values()) / len(qrels) for name, values in expected.items()
    }


@settings(max_examples=40, deadline=None)
@given(st.permutations([f"d{number}" for number in range(12)]), st.integers(0, 11), st.floats(-1, 1, width=32))
def test_order_of_the_file_decides_among_equal_scores(docs, relevant, score):
    """trec_eval would put the highest doc id first, and merge scores that differ beyond single precision."""
    tied = [(doc, score) for doc in docs]
    close = [(doc, 0.9 - position * 1e-12) for position, doc in enumerate(docs)]
    qrels = {"q": {docs[relevant]: 1}}
    for ranking in (tied, close):
        values = scored({"q": ranking}, qrels, ["RR@10", "RR", "AP", "P@5"])
        assert values["RR"]["q"] == values["AP"]["q"] == 1 / (relevant + 1)
        assert values["RR@10"]["q"] == (1 / (relevant + 1) if relevant < 10 else 0)
        assert values["P@5"]["q"] == (0.2 if relevant < 5 else 0)


def test_grades_count_in_ndcg_and_a_binary_measure_keeps_its_own_threshold():
    qrels = {"q": {"best": 3, "fair": 1, "bad": 0}}
    worse, better = ({"q": [(doc, 0.5) for doc in docs]} for docs in (["fair", "best"], ["best", "fair"]))
    assert scored(worse, qrels)["nDCG@10"]["q"] < scored(better, qrels)["nDCG@10"]["q"] == 1
    values = scored(worse, qrels, ["RR@10", "RR(rel=2)@10", "P(rel=3)@2"])
    assert [values[name]["q"] for name in values] == [1, 0.5, 0.5]
    assert scored({"q": [("bad", 1.0), ("fair", 0.5)]}, qrels)["RR@10"]["q"] == 0.5


GRADED = ["RR@10", "R@100", "P@5", "AP", "Success@10", "Rprec", "nDCG@10", "RR(rel=1)@10"]


def test_a_grade_counts_in_measures_without_grades_and_nowhere_else():
    """Against ir_measures, told the grade by name; trec_eval's own program is told it by -l."""
    run, qrels = random_study(11, queries=40)
    scores = {query: {doc: -place for place, (doc, _) in enumerate(hits)} for query, hits in run.items()}
    values = score_run(run.items(), qrels, {name: measure_named(name, 2) for name in GRADED})
    spelled = dict(zip(GRADED[:6], ["RR(rel=2)@10", "R(rel=2)@100", "P(rel=2)@5", "AP(rel=2)"], strict=False))
    spelled |= {"Success@10": "Success(rel=2)@10", "Rprec": "Rprec(rel=2)"}
    for name in GRADED:
        reference = ir_measures.parse_measure(spelled.get(name, name)).iter_calc(qrels, scores)
        assert values[name] == {metric.query_id: metric.value for metric in reference}, name
    plain = scored(run, qrels, GRADED)
    assert {name for name in GRADED if plain[name] != values[name]} == set(spelled)


def test_a_query_with_lower_grades_only_scores_zero_and_still_counts(tmp_path):
    """The convention of TREC 2019 and 2020 on MS MARCO passages: grade 1, related, is not relevant."""
    qrels = {"full": {"a": 3, "b": 1}, "related": {"a": 1, "c": 0}}
    run = {query: [("a", 0.9), ("b", 0.8), ("c", 0.7)] for query in qrels}
    write_run(tmp_path / "dl.trec", run.items(), "base")
    write_qrels(tmp_path / "dl.parquet", qrels)
    for grade, expected in ((1, [1, 1]), (2, [1, 0])):
        output = tmp_path / f"{grade}.parquet"
        files = [tmp_path / "dl.trec"], [tmp_path / "dl.parquet"]
        ties = tmp_path / "ties.parquet"
        measure_run(*files, [["msmarco", "dl"]], [grade], ["RR@10", "nDCG@10"], 1000, "base", 0, output, ties)
        rows = read_rows(output, "measures").to_pylist()
        assert [row["value"] for row in rows if row["measure"] == "RR@10"] == expected
        assert [row["value"] for row in rows if row["measure"] == "nDCG@10"] == [1, 1]


def test_a_measure_that_no_provider_computes_for_a_grade_says_so():
    assert measure_named("NumRel")
    with pytest.raises(BackfireError, match=r"measure 'NumRel': no installed provider .* \(as NumRel\(rel=2\)\)"):
        measure_named("NumRel", 2)


def test_value_does_not_depend_on_the_other_measures_of_the_study():
    run, qrels = random_study(3)
    gains = "nDCG(gains={0: 0, 1: 1, 2: 3, 3: 7})@10"
    alone = scored(run, qrels, ["nDCG@10"])["nDCG@10"]
    assert scored(run, qrels, [gains, "nDCG@10"])["nDCG@10"] == alone
    assert scored(run, qrels, [gains])[gains] != alone


def test_blocks_of_queries_change_no_value(monkeypatch):
    run, qrels = random_study(4)
    whole = scored(run, qrels)
    monkeypatch.setattr("backfire.evaluation.measures.QUERY_BLOCK", 7)
    assert scored(run, qrels) == whole


def test_queries_without_results_score_zero_and_are_counted(caplog):
    run, qrels = random_study(5, queries=10)
    partial = {query_id: run[query_id] for query_id in list(run)[:7]}
    values = scored(partial, qrels)
    for name in NAMES:
        assert set(values[name]) == set(qrels)
        assert [values[name][query_id] for query_id in list(run)[7:]] == [0, 0, 0]
        assert {q: values[name][q] for q in partial} == {q: scored(run, qrels)[name][q] for q in partial}
    assert "3 of 10 queries have no results" in caplog.text
    assert scored({}, qrels)["AP"] == dict.fromkeys(qrels, 0.0)


def test_query_with_nothing_relevant_scores_zero():
    values = scored({"q": [("a", 1.0), ("b", 0.5)]}, {"q": {"a": 0, "b": 0}})
    assert values == {name: {"q": 0.0} for name in NAMES}


def test_run_that_does_not_belong_to_the_split_is_an_error():
    with pytest.raises(BackfireError, match="query 'stranger' has no judgments"):
        scored({"stranger": [("a", 1.0)]}, {"q": {"a": 1}})
    with pytest.raises(BackfireError, match="ranked more than once for query 'q'"):
        scored({"q": [("a", 1.0), ("a", 0.5)]}, {"q": {"a": 1}})
    with pytest.raises(BackfireError, match="no judgments to score it with"):
        scored({}, {})


def test_undefined_value_is_an_error_and_not_a_zero():
    with pytest.raises(BackfireError, match="Accuracy is undefined for a query among q"):
        scored({"q": [("a", 1.0)]}, {"q": {"a": 1}}, ["Accuracy"])


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("RRR@10", "knows no such measure", "did you mean 'RR'"),
        ("ndcg@10", "knows no such measure", "did you mean 'nDCG@10'?"),
        ("ndcg_cut_10", "knows no such measure", "did you mean 'nDCG@10'?"),
        ("mrr@10", "knows no such measure", "did you mean 'RR@10'?"),
        ("recip_rank", "knows no such measure", "did you mean 'RR'?"),
        ("recall@100", "knows no such measure", "did you mean 'R@100'?"),
        ("P_10", "knows no such measure", "did you mean 'P@10'?"),
        ("hit_rate@5", "knows no such measure", "did you mean 'Success@5'?"),
        ("map", "knows no such measure", "did you mean 'AP'?"),
        ("MRR@10", "another name of 'RR'", "write RR@10"),
        ("Recall@100", "another name of 'R'", "write R@100"),
        ("Precision(rel=2)@5", "another name of 'P'", "write P(rel=2)@5"),
        ("MAP", "another name of 'AP'", "write AP"),
        ("R", "does not accept it", "NAME@cutoff"),
        ("RR@0", "cutoff must be at least 1", "NAME@cutoff"),
        ("RR@ten", "does not accept it", "NAME@cutoff"),
        ("RR(level=2)@10", "does not accept it", "NAME@cutoff"),
        ("__import__('os')", "does not accept it", "NAME@cutoff"),
        ("SDCG@10.5", "does not accept it", "NAME@cutoff"),
    ],
)
def test_unknown_measures_and_other_names_of_known_ones(name, message, hint):
    with pytest.raises(BackfireError) as caught:
        measure_named(name)
    assert f"measure '{name}'" in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def write_qrels(path, qrels):
    rows = [
        {"query_id": query_id, "doc_id": doc_id, "relevance": relevance}
        for query_id, judged in qrels.items()
        for doc_id, relevance in judged.items()
    ]
    write_rows(path, "qrels", rows)


def part(folder, variant, seed, study, names=NAMES):
    """Measure one variant on one split, on disk."""
    run, qrels = study
    write_run(folder / f"{variant}-{seed}.trec", run.items(), variant)
    write_qrels(folder / "qrels.parquet", qrels)
    outputs = folder / f"{variant}-{seed}.parquet", folder / f"{variant}-{seed}-ties.parquet"
    trec, judgments = [folder / f"{variant}-{seed}.trec"], [folder / "qrels.parquet"]
    measure_run(trec, judgments, [["pydocs", "test"]], [1], names, 1000, variant, seed, *outputs)
    return outputs


def test_tables_of_several_runs(tmp_path):
    first, second = random_study(6, queries=20), random_study(6, queries=20)
    parts = [part(tmp_path, "full_hard", seed, first) for seed in (10, 2)] + [part(tmp_path, "base", 0, second)]
    collect_measures(*zip(*parts, strict=True), tmp_path / "measures.parquet", tmp_path / "ties.parquet")
    rows = read_rows(tmp_path / "measures.parquet", "measures").to_pylist()
    keys = [tuple(row[column] for column in list(row)[:-1]) for row in rows]
    assert keys == sorted(keys)
    assert len(keys) == 3 * 4 * 20
    expected = scored(*first)
    assert all(row["value"] == expected[row["measure"]][row["query_id"]] for row in rows)
    again = tmp_path / "again.parquet", tmp_path / "ties-again.parquet"
    collect_measures(*zip(*parts[::-1], strict=True), *again)
    assert again[0].read_bytes() == (tmp_path / "measures.parquet").read_bytes()
    assert again[1].read_bytes() == (tmp_path / "ties.parquet").read_bytes()
    bands = read_rows(tmp_path / "ties.parquet", "ties").to_pylist()
    assert [(row["variant"], row["seed"], row["measure"]) for row in bands] == [
        (*run, name) for run in (("base", 0), ("full_hard", 2), ("full_hard", 10)) for name in sorted(NAMES)
    ]


def test_several_splits_are_kept_apart(tmp_path):
    for split, seed in (("dev", 7), ("test", 8)):
        run, qrels = random_study(seed, queries=5)
        write_run(tmp_path / f"{split}.trec", run.items(), "base")
        write_qrels(tmp_path / f"{split}.parquet", qrels)
    output = tmp_path / "base.parquet"
    splits = ["dev", "test"]
    measure_run(
        [tmp_path / f"{split}.trec" for split in splits],
        [tmp_path / f"{split}.parquet" for split in splits],
        [["pydocs", split] for split in splits],
        [1, 1],
        ["RR@10"],
        1000,
        "base",
        0,
        output,
        tmp_path / "ties.parquet",
    )
    for row in read_rows(output, "measures").to_pylist():
        run, qrels = random_study({"dev": 7, "test": 8}[row["split"]], queries=5)
        assert row["value"] == ms_marco_values(run, qrels)[row["query_id"]]


def test_missing_run_is_an_error_and_leaves_nothing(tmp_path):
    write_qrels(tmp_path / "qrels.parquet", {"q": {"a": 1}})
    with pytest.raises(BackfireError, match=r"absent\.trec: there is no such run"):
        measure_run(
            [tmp_path / "absent.trec"],
            [tmp_path / "qrels.parquet"],
            [["pydocs", "test"]],
            [1],
            NAMES,
            1000,
            "base",
            0,
            tmp_path / "out.parquet",
            tmp_path / "ties.parquet",
        )
    assert not (tmp_path / "out.parquet").exists() and not (tmp_path / "ties.parquet").exists()


def test_passage_judged_twice_is_an_error(tmp_path):
    row = {"query_id": "q", "doc_id": "a", "relevance": 1}
    write_rows(tmp_path / "qrels.parquet", "qrels", [row, {**row, "relevance": 0}])
    with pytest.raises(BackfireError, match="'a' is judged twice for query 'q'"):
        read_qrels(tmp_path / "qrels.parquet")


def test_collecting_rejects_copies_and_unequal_queries(tmp_path):
    study = random_study(9, queries=6)
    (base, ties), (tuned, others) = part(tmp_path, "base", 0, study), part(tmp_path, "full_hard", 0, study)
    outputs = tmp_path / "out.parquet", tmp_path / "ties.parquet"
    with pytest.raises(BackfireError, match="measured twice: variant base, seed 0"):
        collect_measures([base, tuned, base], [ties, others], *outputs)
    with pytest.raises(BackfireError, match="measured twice: variant base, seed 0"):
        collect_measures([base, tuned], [ties, ties], *outputs)
    rows = read_rows(tuned, "measures").to_pylist()
    write_rows(tuned, "measures", [row for row in rows if row["query_id"] != "q3"])
    with pytest.raises(BackfireError, match="'q3' has a value of AP for base seed 0 but none for full_hard seed 0"):
        collect_measures([base, tuned], [ties, others], *outputs)
    with pytest.raises(BackfireError, match="'q3' has a value of AP for base seed 0 but none for full_hard seed 0"):
        collect_measures([tuned, base], [ties, others], *outputs)
    assert not (tmp_path / "out.parquet").exists() and not (tmp_path / "ties.parquet").exists()
