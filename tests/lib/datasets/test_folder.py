import gzip
from pathlib import Path

import pytest

from backfire.datasets.folder import folder_dataset
from backfire.datasets.sources import input_files
from backfire.errors import BackfireError

CORPUS = [("d1", "Sluices", "A sluice holds back water."), ("d2", "", "Locks lift boats."), ("d3", "Weirs", "Weirs.")]
QUERIES = [("q1", "what holds back water"), ("q2", "how are boats lifted")]
QRELS = [("q1", "d1", 2), ("q2", "d2", 1), ("q2", "d3", 0)]


@pytest.mark.parametrize("packed", [False, True])
def test_passages_queries_and_judgments_in_the_order_of_the_files(beir, packed):
    dataset = folder_dataset(beir(CORPUS, QUERIES, QRELS, packed=packed), "test")
    assert [(doc.doc_id, doc.default_text()) for doc in dataset.docs_iter()] == [
        ("d1", "Sluices A sluice holds back water."),
        ("d2", "Locks lift boats."),
        ("d3", "Weirs Weirs."),
    ]
    assert [tuple(query) for query in dataset.queries_iter()] == QUERIES
    assert [tuple(qrel) for qrel in dataset.qrels_iter()] == QRELS
    assert len(dataset.docs) == 3 and dataset.docs.lookup("d2").text == "Locks lift boats."
    assert dataset.qrels.asdict() == {"q1": {"d1": 2}, "q2": {"d2": 1, "d3": 0}}


def test_a_corpus_alone_needs_no_queries(beir):
    folder = beir(CORPUS)
    Path(folder, "queries.jsonl").unlink()
    dataset = folder_dataset(folder)
    assert dataset.docs_count() == 3
    assert not dataset.has_queries() and not dataset.has_qrels()


def test_what_collections_in_the_wild_do_is_read(beir):
    folder = Path(beir(CORPUS, QUERIES))
    corpus = b'\xef\xbb\xbf{"_id": 7, "text": "Byte order mark."}\r\n\r\n{"_id": "8", "text": "No end", "title": null}'
    folder.joinpath("corpus.jsonl").write_bytes(corpus)
    folder.joinpath("qrels/test.tsv").write_bytes(b"q1\t7\t1\r\n")
    dataset = folder_dataset(str(folder), "test")
    assert [doc[:2] for doc in dataset.docs_iter()] == [("7", "Byte order mark."), ("8", "No end")]
    assert [tuple(qrel) for qrel in dataset.qrels_iter()] == [("q1", "7", 1)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "d2", "text": "cut sho', "corpus.jsonl:2: not a JSON object but .*cut sho.* column 23"),
        ('["d2", "text"]', "corpus.jsonl:2: found .*expected a JSON object"),
        ('{"id": "d2", "text": "t"}', "corpus.jsonl:2: no '_id' among the keys id, text"),
        ('{"_id": "d2", "contents": "t"}', "corpus.jsonl:2: no 'text' among the keys _id, contents"),
        ('{"_id": "d2", "text": null}', "corpus.jsonl:2: 'text' is 'null', expected a string"),
        ('{"_id": true, "text": "t"}', "corpus.jsonl:2: '_id' is 'true', expected a string"),
        ('{"_id": "d2", "text": "t", "title": ["T"]}', "corpus.jsonl:2: 'title' is .*expected a string"),
    ],
)
def test_a_broken_line_is_named(beir, line, message):
    folder = beir([("d1", "", "Fine.")])
    with Path(folder, "corpus.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(BackfireError, match=rf"{message}(.|\n)*\nHint: "):
        list(folder_dataset(folder).docs_iter())


def test_bytes_that_are_no_text_are_named(beir):
    folder = beir([("d1", "", "Fine.")])
    with Path(folder, "corpus.jsonl").open("ab") as stream:
        stream.write('{"_id": "d2", "text": "Schleuse für Kähne"}\n'.encode("latin-1"))
    with pytest.raises(BackfireError, match="corpus.jsonl:2: not UTF-8.*\nHint: save the file as UTF-8"):
        list(folder_dataset(folder).docs_iter())


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"plain text, not packed\n"])
def test_a_damaged_package_is_named(beir, damage):
    corpus = [(f"d{i}", "", f"Passage {i} about water {i * i}.") for i in range(500)]
    folder = beir(corpus, packed=True)
    path = Path(folder, "corpus.jsonl.gz")
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 500
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackfireError, match="corpus.jsonl.gz: cannot be unpacked(.|\n)*Hint: the file was cut short"):
        list(folder_dataset(folder).docs_iter())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("query-id\tcorpus-id\tscore\nq1\td1\thigh\n", "test.tsv:2: found the grade 'high', expected a whole number"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1.5\n", "test.tsv:2: found the grade '1.5'"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1_0\n", "test.tsv:2: found the grade '1_0'"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t\u0661\n", "test.tsv:2: found the grade"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t99999999999\n", "test.tsv:2: found the grade 99999999999, expected one"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t2147483647\n", "test.tsv:2: found the grade 2147483647, expected one"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t\n", "test.tsv:2: found the grade ''"),
        ("frage\tstelle\tnote\nq1\td1\t1\n", "test.tsv:1: found the grade 'note'(.|\n)*query-id, corpus-id and score"),
        ("qid\tquery-id\tdocid\trel\n", "the columns qid and query-id could both be the query"),
        ("query-id\tcorpus-id\tscore\nq1 d1 1\n", "test.tsv:2: found 1 column"),
        ("q1 Q0 d1 1 0.5 bm25\n", "test.tsv:1: found 6 column.*six columns are a run"),
    ],
)
def test_a_broken_judgment_is_named(beir, content, message):
    folder = beir(CORPUS, QUERIES)
    Path(folder, "qrels/test.tsv").write_text(content)
    with pytest.raises(BackfireError, match=rf"{message}(.|\n)*"):
        list(folder_dataset(folder, "test").qrels_iter())


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_that_is_there_twice_is_ambiguous(beir, name):
    folder = beir(CORPUS, QUERIES, QRELS)
    Path(folder, f"{name}.gz").write_bytes(gzip.compress(Path(folder, name).read_bytes()))
    with pytest.raises(BackfireError, match=rf"{name} and .*{name}.gz are both there.*\nHint: remove or rename"):
        folder_dataset(folder, "test")
    with pytest.raises(BackfireError, match="are both there"):
        input_files(folder, None if name == "corpus.jsonl" else "test")


def test_an_empty_folder_is_told_before_any_job_starts(tmp_path):
    with pytest.raises(BackfireError, match="corpus.jsonl: there is no such file.*the folder holds none of that kind"):
        input_files(str(tmp_path))


def test_nul_in_a_text_is_kept_where_it_is_escaped_and_an_error_where_not(beir):
    folder = beir([("d1", "", "one \0 two")])
    assert [doc.text for doc in folder_dataset(folder).docs_iter()] == ["one \0 two"]
    Path(folder, "corpus.jsonl").write_bytes(b'{"_id": "d1", "text": "one \0 two"}\n')
    with pytest.raises(BackfireError, match=r"corpus.jsonl:1: not a JSON object(.|\n)*Hint: .*NUL as .u0000"):
        list(folder_dataset(folder).docs_iter())


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named_with_what_is_there(beir, name):
    folder = beir(CORPUS, QUERIES, QRELS)
    Path(folder, name).unlink()
    with pytest.raises(BackfireError, match=rf"{name}: there is no such file.*holds .*s.*\nHint: a folder in BEIR"):
        folder_dataset(folder, "test")


def test_vaswani(vaswani):
    dataset = folder_dataset(vaswani, "test")
    assert dataset.docs_count() == 11429
    assert len(dataset.queries) == 93
    assert len(dataset.qrels) == 2083
    assert dataset.docs.lookup("1").default_text().startswith("compact memories have flexible capacities")
