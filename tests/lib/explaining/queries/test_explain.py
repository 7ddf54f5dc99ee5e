"""Both tables from files made by hand, and what is refused."""

import pytest

from backfire.errors import BackfireError
from backfire.explaining.queries.explain import explain_queries
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows
from backfire.formats.trec import write_run

QUERIES = {"q1": "sort an array", "q2": "<script>alert(1)</script>", "q3": "mean of an array"}
PASSAGES = {
    "a": "sort the array",
    "b": "alert" + " again" * 200,
    "c": "the mean of it",
    "d": "noise",
    "e": "more noise",
}
ANSWERS = {"q1": "a", "q2": "b", "q3": "c"}
RUNS = {
    "base": {"q1": "adbc", "q2": "dbea", "q3": "acde"},
    "tuned": {"q1": "deab", "q2": "bdae", "q3": "acde"},
}
MODELS = [["base", 0], ["tuned", 7]]


@pytest.fixture
def files(table, tmp_path):
    """Files of a study of three queries whose answer the variant loses, gains, and keeps."""
    rows, runs = [], []
    for variant, seed in MODELS:
        runs.append(tmp_path / f"{variant}.trec")
        rankings = {query: [(doc, float(9 - n)) for n, doc in enumerate(r)] for query, r in RUNS[variant].items()}
        write_run(runs[-1], rankings.items(), variant)
        where = {"variant": variant, "seed": seed, "collection": "c", "split": "test", "measure": "RR@10"}
        rows += [
            where | {"query_id": query, "value": 1 / (1 + ranking.index(ANSWERS[query]))}
            for query, ranking in RUNS[variant].items()
        ]
    texts = [{"doc_id": doc, "text": text} for doc, text in PASSAGES.items()]
    return {
        "measures": table("measures", "measures", rows),
        "models": MODELS,
        "runs": runs,
        "qrels": table(
            "qrels", "qrels", [{"query_id": q, "doc_id": doc, "relevance": 2} for q, doc in ANSWERS.items()]
        ),
        "queries": table("queries", "queries", [{"query_id": q, "text": text} for q, text in QUERIES.items()]),
        "corpus": [table("corpus-1", "corpus", texts[:2]), table("corpus-2", "corpus", texts[2:])],
        "primary": ["c", "test", "RR@10"],
        "relevant_from": 2,
        "depth": 4,
        "alpha": 0.05,
        "resamples": 100,
        "seed": 0,
        "moved_table": tmp_path / "moved.parquet",
        "strata_table": tmp_path / "strata.parquet",
        "replaced_table": tmp_path / "replaced.parquet",
        "exchanges_table": tmp_path / "exchanges.parquet",
    }


def test_moved_queries_and_strata_are_written(files):
    explain_queries(**files)
    loss, gain = read_rows(files["moved_table"], "moved").to_pylist()
    assert (loss["query_id"], loss["base_rank"], loss["variant_rank"], loss["answer_id"]) == ("q1", 1, 3, "a")
    assert loss["query"] == "sort an array" and loss["answer"] == "sort the array"
    assert loss["passage_ids"] == ["d", "e"] and loss["passage_texts"] == ["noise", "more noise"]
    assert loss["passage_base_ranks"] == [2, None] and loss["passage_variant_ranks"] == [1, 2]
    assert (gain["query_id"], gain["base_rank"], gain["variant_rank"]) == ("q2", 2, 1)
    assert gain["query"] == "<script>alert(1)</script>" and len(gain["answer"]) <= 300
    assert gain["passage_ids"] == ["d"]
    exchanges = read_rows(files["exchanges_table"], "exchanges").to_pylist()
    assert [(row["direction"], row["query_id"], row["answer_id"], row["passage_id"]) for row in exchanges] == [
        ("loss", "q1", "a", "d"),
        ("gain", "q2", "b", "d"),
    ]
    rows = read_rows(files["strata_table"], "strata").to_pylist()
    assert {row["factor"] for row in rows} == {"length", "overlap", "base_rank"}
    assert [row["stratum"] for row in rows if row["factor"] == "base_rank"] == ["rank 1", "ranks 2-4"]


def test_the_same_files_give_the_same_bytes(files):
    outputs = [files["moved_table"], files["strata_table"]]
    explain_queries(**files)
    first = [path.read_bytes() for path in outputs]
    explain_queries(**files)
    assert [path.read_bytes() for path in outputs] == first


def test_a_study_of_base_alone_has_empty_tables(files):
    explain_queries(**files | {"models": MODELS[:1], "runs": files["runs"][:1]})
    for kind in ("moved", "strata"):
        table = read_rows(files[f"{kind}_table"], kind)
        assert len(table) == 0 and table.schema.equals(SCHEMAS[kind])


def test_a_grade_above_every_judgment_leaves_no_answer(files):
    explain_queries(**files | {"relevant_from": 3})
    rows = read_rows(files["moved_table"], "moved").to_pylist()
    assert {(row["base_rank"], row["answer_id"], row["answer"]) for row in rows} == {(None, None, None)}
    factors = {row["factor"]: row["stratum"] for row in read_rows(files["strata_table"], "strata").to_pylist()}
    assert factors["base_rank"] == "not found" and "overlap" not in factors


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": [["base", 0], ["absent", 0]]}, "absent has no values"),
        ({"primary": ["c", "test", "AP"]}, "base has no values of AP"),
    ],
)
def test_what_was_not_measured_is_refused(files, change, said):
    with pytest.raises(BackfireError, match=said):
        explain_queries(**files | change)
    assert not files["moved_table"].exists()


def test_other_judgments_than_were_measured_on_are_refused(files, table):
    judged = [{"query_id": "q1", "doc_id": "a", "relevance": 1}]
    with pytest.raises(BackfireError, match="1 queries are judged, 3 were measured on c/test") as raised:
        explain_queries(**files | {"qrels": table("other", "qrels", judged)})
    assert "Hint: " in str(raised.value)
