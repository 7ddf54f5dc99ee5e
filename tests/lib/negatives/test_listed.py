"""Triples of a file of one's own: real text and vectors, files as people have them."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import write_csv

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows, write_rows
from backfire.negatives import listed as module
from backfire.negatives.listed import take_triples


@pytest.fixture
def take(queries, shards, tmp_path):
    """A function that takes the triples of a file, and gives rows by query, positive, negative, and the counts."""
    splits = {"watched": ["w1", "a watched question"], "test": ["t1", "a question to be judged"]}
    for name, (query_id, text) in splits.items():
        write_rows(tmp_path / f"{name}.parquet", "queries", [{"query_id": query_id, "text": text}])

    def run(file, columns=None, missing="refuse", size=None, seed=3, negatives_per_query=1, count=2):
        files = shards(count)
        take_triples(
            file=str(file),
            columns=columns,
            queries=queries["queries"],
            splits={name: str(tmp_path / f"{name}.parquet") for name in splits},
            cut="watched",
            corpus=files["corpus"],
            query_embeddings=queries["embeddings"],
            embeddings=files["embeddings"],
            missing=missing,
            size=size,
            seed=seed,
            negatives_per_query=negatives_per_query,
            output=str(tmp_path / "triples.parquet"),
            manifest=str(tmp_path / "triples.json"),
        )
        rows = read_rows(tmp_path / "triples.parquet", "triples").to_pylist()
        named = [(row["query_id"], row["positive_id"], row["negative_id"]) for row in rows]
        return named, rows, read_json(tmp_path / "triples.json")

    return run


@pytest.fixture
def ids(pydocs):
    """Twelve triples of ids; the passages are those of one text each."""
    passages = [doc_id for doc_id, _ in pydocs[0] if f"{doc_id}.again" not in dict(pydocs[0])]
    passages = [doc_id for doc_id in passages if not doc_id.endswith(".again")]
    asked = [query_id for query_id, _ in pydocs[1]]
    return [(asked[row], passages[row], passages[50 + row]) for row in range(12)]


@pytest.fixture
def texts(pydocs, ids):
    """The same triples as texts."""
    passages, asked = dict(pydocs[0]), dict(pydocs[1])
    return [(asked[query], passages[positive], passages[negative]) for query, positive, negative in ids]


def lines(rows):
    return "".join("\t".join(row) + "\n" for row in rows)


def objects(names, rows):
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


def columns(names, rows):
    return pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def spaced(rows):
    """Texts in one line each, as a table of text has them."""
    return [tuple(" ".join(text.split()) for text in row) for row in rows]


@pytest.mark.parametrize("block", [1 << 16, 5])
@pytest.mark.parametrize("form", ["tsv", "tsv of texts", "header", "jsonl", "jsonl.gz", "parquet", "csv", "own"])
def test_ids_and_texts_in_every_form_give_the_same_triples(form, block, ids, texts, take, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ", block)
    file = tmp_path / f"mined.{form.split()[0]}"
    if form == "tsv":
        file.write_text(lines(ids))
    elif form == "tsv of texts":
        file = tmp_path / "mined.tsv"
        file.write_text(lines(spaced(texts)), encoding="utf-8")
    elif form == "header":
        file = tmp_path / "mined.tsv"
        file.write_text(lines([("qid", "pos_id", "neg_id"), *ids]))
    elif form == "csv":
        write_csv(columns(("query", "positive", "negative"), texts), file)
    elif form == "jsonl":
        file.write_text(objects(("anchor", "positive", "negative"), texts))
    elif form == "jsonl.gz":
        file.write_bytes(gzip.compress(objects(("anchor", "positive", "negative"), texts).encode()))
    elif form == "parquet":
        pq.write_table(columns(("question", "answer", "negative"), texts), file)
    else:
        file = tmp_path / "seed-0.parquet"
        (tmp_path / "first.tsv").write_text(lines(ids))
        take(tmp_path / "first.tsv")
        (tmp_path / "triples.parquet").rename(file)
    named, rows, counts = take(file)
    assert named == ids
    assert {(row["source"], row["rank"]) for row in rows} == {("file", None)}
    assert [row["example"] for row in rows] == list(range(12))
    assert counts["named by"] == ("ids" if form in ("tsv", "header", "own") else "texts")
    assert (counts["read"], counts["kept"], counts["dropped"], counts["examples"]) == (12, 12, {}, 12)


def test_scores_are_the_bases_own(ids, take, tmp_path, pydocs, vectors):
    (tmp_path / "mined.tsv").write_text(lines(ids))
    place = [{name: row for row, (name, _) in enumerate(rows)} for rows in pydocs]
    for row in take(tmp_path / "mined.tsv")[1]:
        query, passage = vectors[1][place[1][row["query_id"]]], vectors[0][place[0][row["negative_id"]]]
        assert row["base_score"] == pytest.approx(float(np.dot(query, passage)), abs=1e-6)


def test_negatives_of_a_row_are_examples_of_one_each_or_of_several(ids, take, tmp_path):
    query, positive, _ = ids[0]
    others = [negative for _, _, negative in ids]
    rows = [{"query_id": query, "positive_id": positive, "negative_ids": others[:5]}]
    rows += [{"query_id": ids[1][0], "positive_id": ids[1][1], "negative_ids": others[5:7]}]
    rows += [{"query_id": query, "positive_id": positive, "negative_ids": others[7:9]}]
    (tmp_path / "mined.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named, _, counts = take(tmp_path / "mined.jsonl")
    assert [negative for *_, negative in named] == [*others[:5], *others[7:9], *others[5:7]]
    assert counts["examples"] == 9
    named, found, counts = take(tmp_path / "mined.jsonl", negatives_per_query=3)
    assert [negative for *_, negative in named] == [*others[:5], others[7]]
    assert [row["example"] for row in found] == [0, 0, 0, 1, 1, 1]
    assert counts["dropped"] == {"are too few for an example": 3}


def test_several_columns_without_a_header_are_negatives(ids, take, tmp_path):
    rows = [(*row, ids[(number + 1) % 12][2]) for number, row in enumerate(ids)]
    (tmp_path / "mined.tsv").write_text(lines(rows))
    named, _, counts = take(tmp_path / "mined.tsv", negatives_per_query=2)
    assert named == [(*row[:2], negative) for row in rows for negative in row[2:]] and counts["examples"] == 12


def test_a_size_takes_rows_by_key_and_seed(ids, take, tmp_path):
    (tmp_path / "mined.tsv").write_text(lines(ids))
    first, _, counts = take(tmp_path / "mined.tsv", size=5)
    assert len(first) == 5 and first == [row for row in ids if row in first]
    assert counts["dropped"] == {"are beyond size": 7}
    assert take(tmp_path / "mined.tsv", size=5, count=3)[0] == first
    (tmp_path / "mined.tsv").write_text(lines(reversed(ids)))
    assert sorted(take(tmp_path / "mined.tsv", size=5)[0]) == sorted(first)
    assert sorted(take(tmp_path / "mined.tsv", size=5, seed=4)[0]) != sorted(first)
    with pytest.raises(BackfireError, match="triples: 13 asked for, but .* gives 12 .*\nHint: lower size to 12"):
        take(tmp_path / "mined.tsv", size=13)


def test_what_cannot_be_trained_on_stops_or_is_counted(ids, take, tmp_path, pydocs):
    wrong = [
        ("nobody", *ids[0][1:]),
        ("t1", *ids[1][1:]),
        (ids[2][0], "nothing", ids[2][2]),
        (ids[3][0], ids[3][1], "nothing"),
        (ids[3][0], ids[3][1], "nothing more"),
    ]
    left = [("w1", *ids[4][1:]), (ids[5][0], ids[5][1], ids[5][1]), ids[0], ids[0]]
    (tmp_path / "mined.tsv").write_text(lines([*ids, *left]))
    named, _, counts = take(tmp_path / "mined.tsv")
    assert named == ids
    expected = {
        "have a query of the split 'watched'": 1,
        "have their positive as a negative": 1,
        "repeat another one": 2,
    }
    assert counts["dropped"] == expected
    (tmp_path / "mined.tsv").write_text(lines([*ids, *wrong]))
    with pytest.raises(BackfireError) as error:
        take(tmp_path / "mined.tsv")
    for said in (
        "5 of 17 triples cannot be trained on",
        "1 have a query that is none of the collection: the first at ",
        "mined.tsv:13, 'nobody'",
        "1 have a query of the split 'test': the first at",
        "mined.tsv:15, 'nothing'",
        "2 have a negative that the collection lacks",
        "Hint: set missing: drop",
    ):
        assert said in str(error.value)
    named, _, counts = take(tmp_path / "mined.tsv", missing="drop")
    assert named == ids and sum(counts["dropped"].values()) == 5 and counts["read"] == 17


def test_a_passage_that_is_the_query_is_no_negative(ids, take, tmp_path, queries, pydocs):
    table = read_rows(queries["queries"], "queries").to_pylist()
    table[0]["text"] = f"  {dict(pydocs[0])[ids[7][2]]}\n"
    write_rows(queries["queries"], "queries", table)
    rows = [(table[0]["query_id"], ids[0][1], ids[7][2]), *ids]
    (tmp_path / "mined.tsv").write_text(lines(rows))
    named, _, counts = take(tmp_path / "mined.tsv")
    assert named == ids and counts["dropped"] == {"have the query itself as a negative": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there is no row with a passage that does not answer its query"),
        (
            lines([("how do I", "so", "thus")] * 3),
            "none of its queries is one of the collection .* 'how do I', and there",
        ),
        (lines([("frage", "antwort")]), "no column is named as a query .*\nHint: .* columns of the triples"),
        (lines([("query", "positive"), ("a", "b")]), "no row with a passage that does not answer"),
        (lines([("a", "b", "c"), ("a", "b")]), r":2: found 2 column\(s\)"),
    ],
)
def test_a_file_that_is_no_set_of_triples_is_told(content, message, take, tmp_path):
    (tmp_path / "mined.tsv").write_text(content)
    with pytest.raises(BackfireError, match=message):
        take(tmp_path / "mined.tsv")


def test_a_file_of_which_nothing_is_left_says_why(ids, take, tmp_path):
    (tmp_path / "mined.tsv").write_text(lines([("w1", *ids[0][1:]), (ids[1][0], "nothing", ids[1][2])]))
    message = "gives 0 .2 triples read; 1 have a query of the split 'watched', 1 have a positive that"
    with pytest.raises(BackfireError, match=message):
        take(tmp_path / "mined.tsv", missing="drop")
