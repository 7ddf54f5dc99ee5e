"""Several collections as one: tables with ids that tell whose a row is."""

import pyarrow as pa

from backfire.datasets.joining import collection_of, join_queries, join_tables
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows


def test_rows_keep_their_order_and_ids_tell_whose_they_are(table, tmp_path):
    shards = [table(f"a-{n}", "corpus", [{"doc_id": f"{n}/x", "text": f"text {n}"}]) for n in range(2)]
    other = table("b", "corpus", [{"doc_id": "0/x", "text": "another"}, {"doc_id": "y", "text": "more"}])
    join_tables("corpus", [*shards, other], {"a": 2, "b": 1}, str(tmp_path / "joined.parquet"))
    rows = read_rows(tmp_path / "joined.parquet", "corpus").to_pylist()
    assert [row["doc_id"] for row in rows] == ["a/0/x", "a/1/x", "b/0/x", "b/y"]
    assert [row["text"] for row in rows] == ["text 0", "text 1", "another", "more"]
    assert [collection_of(row["doc_id"]) for row in rows] == ["a", "a", "b", "b"]


def test_both_ids_of_a_judgment_tell_whose_it_is(table, tmp_path):
    ours = table("a", "qrels", [{"query_id": "1", "doc_id": "1", "relevance": 2}])
    none = table("b", "qrels", [])
    theirs = table("c", "qrels", [{"query_id": "1", "doc_id": "7", "relevance": 0}])
    join_tables("qrels", [ours, none, theirs], {"a": 1, "b": 1, "c": 1}, str(tmp_path / "joined.parquet"))
    assert read_rows(tmp_path / "joined.parquet", "qrels").equals(
        pa.table(
            {"query_id": ["a/1", "c/1"], "doc_id": ["a/1", "c/7"], "relevance": pa.array([2, 0], pa.int32())},
            schema=read_rows(ours, "qrels").schema,
        )
    )


def test_what_another_part_judges_is_left_out_whatever_its_id(table, tmp_path):
    queries = [
        table("a", "queries", [{"query_id": "1", "text": "What is it?"}, {"query_id": "2", "text": "And that?"}]),
        table("b", "queries", [{"query_id": "1", "text": "Something else"}, {"query_id": "9", "text": "what  IS it?"}]),
    ]
    qrels = [
        table(f"{name}-qrels", "qrels", [{"query_id": each, "doc_id": "d", "relevance": 1} for each in ids])
        for name, ids in (("a", "12"), ("b", "19"))
    ]
    judged = [table("judged", "queries", [{"query_id": "77", "text": "what is it?"}])]
    outputs = (str(tmp_path / "queries.parquet"), str(tmp_path / "qrels.parquet"))
    join_queries(queries, qrels, ["a", "b"], judged, outputs, str(tmp_path / "left.json"))
    assert read_rows(outputs[0], "queries")["query_id"].to_pylist() == ["a/2", "b/1"]
    assert read_rows(outputs[1], "qrels")["query_id"].to_pylist() == ["a/2", "b/1"]
    assert read_json(tmp_path / "left.json")["left out"] == {"a": 1, "b": 1}
    join_queries(queries, qrels, ["a", "b"], [], outputs, str(tmp_path / "left.json"))
    assert len(read_rows(outputs[0], "queries")) == 4 and read_json(tmp_path / "left.json")["left out"] == {}
