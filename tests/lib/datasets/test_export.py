import json
from pathlib import Path

import pytest

from backfire.datasets.export import describe_collection, export_corpus, export_queries
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows
from backfire.keyed import key

CORPUS = [
    ("d1", "Sluices", "A sluice holds back water."),
    ("d2", "", "Locks lift boats."),
    ("d3", "Weirs", "A weir slows a river down."),
    ("d4", "", "Dikes keep the sea out."),
    ("d5", "", "Canals join rivers."),
]
QUERIES = [("q2", "how are boats lifted"), ("q1", "what holds back water"), ("q3", "who digs canals")]
QRELS = [("q1", "d1", 2), ("q2", "d2", 1), ("q1", "d4", 1), ("q2", "d3", 0), ("q3", "d5", 0)]


class Export:
    """The files of one export, and what stands in them."""

    def __init__(self, folder: Path, count: int):
        self.folder = folder
        self.shards = [str(folder / f"corpus/{shard}-of-{count}.parquet") for shard in range(1, count + 1)]
        self.corpus_manifest = str(folder / "corpus/manifest.json")
        self.queries, self.qrels, self.manifest = (
            str(folder / name) for name in ("queries/test.parquet", "qrels/test.parquet", "queries/test.json")
        )

    def corpus(self, source: str, size: int | None = None, **options) -> "Export":
        export_corpus(source, size, self.shards, self.corpus_manifest, **options)
        return self

    def split(self, source: str, split: str = "test", **options) -> "Export":
        export_queries(source, split, self.shards, self.queries, self.qrels, self.manifest, **options)
        return self

    def passages(self) -> list[tuple[str, str]]:
        return [tuple(row.values()) for shard in self.shards for row in read_rows(shard, "corpus").to_pylist()]

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def export(tmp_path):
    return lambda count=1: Export(tmp_path / f"out-{count}", count)


@pytest.mark.parametrize("size", [None, 1000])
def test_any_number_of_shards_holds_the_same_passages_in_the_order_of_the_source(vaswani, export, size):
    exports = {count: export(count).corpus(vaswani, size) for count in (1, 3, 7)}
    passages = exports[1].passages()
    lines = map(json.loads, Path(vaswani, "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    everything = [(line["_id"], line["text"]) for line in lines]
    smallest = sorted(everything, key=lambda passage: key("size", passage[0]))[:size]
    chosen = set(smallest)
    assert passages == [passage for passage in everything if passage in chosen]
    assert len(passages) == (size or 11429)
    for count, each in exports.items():
        lengths = read_json(each.corpus_manifest)["shards"]
        assert each.passages() == passages
        assert len(lengths) == count and sum(lengths) == len(passages) and max(lengths) - min(lengths) <= 1
    assert len({read_json(each.corpus_manifest)["digest"] for each in exports.values()}) == 1


def test_vaswani_queries_and_manifests(vaswani, export):
    done = export(3).corpus(vaswani).split(vaswani)
    queries = read_rows(done.queries, "queries").to_pylist()
    qrels = read_rows(done.qrels, "qrels").to_pylist()
    assert [query["query_id"] for query in queries] == [str(number) for number in range(1, 94)]
    assert queries[0]["text"] == "measurement of dielectric constant of liquids by the use of microwave techniques"
    assert len(qrels) == 2083 and qrels[0] == {"query_id": "1", "doc_id": "1239", "relevance": 1}
    manifest = read_json(done.manifest)
    assert manifest["queries"] == {"read": 93, "kept": 93, "dropped": {}}
    assert manifest["judgments"] == {"read": 2083, "kept": 2083, "dropped": {}}
    assert set(manifest["files"]) == {f"{vaswani}/queries.jsonl", f"{vaswani}/qrels/test.tsv"}


def test_the_same_export_gives_the_same_bytes(vaswani, tmp_path):
    first, second = (Export(tmp_path / name, 2).corpus(vaswani, 500).split(vaswani) for name in ("a", "b"))
    assert first.files() == second.files() != []
    for name in first.files():
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_what_the_corpus_manifest_says(beir, export):
    done = export(2).corpus(beir(CORPUS), size=3)
    manifest = read_json(done.corpus_manifest)
    assert (manifest["read"], manifest["kept"], manifest["size"]) == (5, 3, 3)
    assert manifest["dropped"] == {"beyond size": 2}
    assert sorted(manifest["shards"]) == [1, 2]
    assert manifest["text"]["name"] == "default"
    assert manifest["text"]["meaning"].startswith("Title and text joined by a space")


def test_the_digest_follows_ids_texts_and_their_order(beir, export):
    def digest(corpus):
        return read_json(export().corpus(beir(corpus)).corpus_manifest)["digest"]

    swapped = [CORPUS[1], CORPUS[0], *CORPUS[2:]]
    edited = [("d1", "Sluices", "A sluice holds back waters."), *CORPUS[1:]]
    renamed = [("d1x", *CORPUS[0][1:]), *CORPUS[1:]]
    digests = [digest(corpus) for corpus in (CORPUS, swapped, edited, renamed)]
    assert len(set(digests)) == 4
    assert digest(CORPUS) == digests[0]


def test_passages_without_text_are_dropped_and_counted_when_asked_for(beir, export):
    corpus = [*CORPUS, ("d6", "", " \n"), ("d7", "Only a title", "")]
    done = export(2).corpus(beir(corpus), drop_empty=True)
    assert [doc_id for doc_id, _ in done.passages()] == ["d1", "d2", "d3", "d4", "d5", "d7"]
    assert read_json(done.corpus_manifest)["dropped"] == {"empty": 1}


def test_queries_without_text_are_dropped_and_counted_when_asked_for(beir, export):
    folder = beir(CORPUS, [*QUERIES, ("q4", " \t"), ("q5", "")], [*QRELS, ("q4", "d1", 1), ("q4", "d2", 0)])
    done = export().corpus(folder).split(folder, drop_empty=True)
    assert read_rows(done.queries, "queries")["query_id"].to_pylist() == ["q2", "q1"]
    assert set(read_rows(done.qrels, "qrels")["query_id"].to_pylist()) == {"q1", "q2"}
    manifest = read_json(done.manifest)
    assert manifest["queries"] == {"read": 5, "kept": 2, "dropped": {"empty": 2, "no relevant passage": 1}}
    assert manifest["judgments"] == {"read": 7, "kept": 4, "dropped": {"query dropped": 3}}


def test_texts_without_titles_are_another_collection(beir, export):
    corpus = [("d1", "Sluices", "A sluice holds back water. "), ("d2", "Locks", "Locks lift boats.")]
    default = export().corpus(beir(corpus))
    told = read_json(default.corpus_manifest)
    assert default.passages() == [("d1", "Sluices A sluice holds back water."), ("d2", "Locks Locks lift boats.")]
    untitled = export().corpus(beir(corpus), text="untitled")
    other = read_json(untitled.corpus_manifest)
    assert untitled.passages() == [("d1", "A sluice holds back water."), ("d2", "Locks lift boats.")]
    assert (told["text"]["name"], other["text"]["name"]) == ("default", "untitled")
    assert told["digest"] != other["digest"]


def test_ids_are_kept_exactly_whatever_they_hold(beir, export):
    ids = ["a b", "a/../b", " lead", "tab\there", "50%25", "größe", "https://example.org/?q=1", "a\u00a0b"]
    judged = [(f"q {i}", i, 1) for i in ids if "\t" not in i]
    folder = beir([(i, "", f"Text of {i}") for i in ids], [(query, "a query") for query, _, _ in judged], judged)
    done = export(2).corpus(folder).split(folder)
    assert [doc_id for doc_id, _ in done.passages()] == ids
    assert [tuple(row.values()) for row in read_rows(done.qrels, "qrels").to_pylist()] == judged
    assert len(done.files()) == 6


def test_queries_without_a_relevant_passage_and_judgments_of_passages_left_out_are_counted(beir, export):
    folder = beir(CORPUS, QUERIES, [*QRELS, ("q3", "d2", 0)])
    done = export().corpus(folder, size=1)
    assert [doc_id for doc_id, _ in done.passages()] == ["d2"]
    done.split(folder)
    assert read_rows(done.queries, "queries").to_pylist() == [{"query_id": "q2", "text": "how are boats lifted"}]
    assert [tuple(row.values()) for row in read_rows(done.qrels, "qrels").to_pylist()] == [("q2", "d2", 1)]
    manifest = read_json(done.manifest)
    dropped = {"no relevant passage": 1, "relevant passages not kept": 1}
    assert manifest["queries"] == {"read": 3, "kept": 1, "dropped": dropped}
    assert manifest["judgments"] == {"read": 6, "kept": 1, "dropped": {"passage not kept": 4, "query dropped": 1}}


def test_queries_keep_the_order_of_the_source_and_grades_of_zero_stay(beir, export):
    folder = beir(CORPUS, QUERIES, QRELS)
    done = export(2).corpus(folder).split(folder)
    assert read_rows(done.queries, "queries")["query_id"].to_pylist() == ["q2", "q1"]
    assert [tuple(row.values()) for row in read_rows(done.qrels, "qrels").to_pylist()] == [
        ("q1", "d1", 2),
        ("q1", "d4", 1),
        ("q2", "d2", 1),
        ("q2", "d3", 0),
    ]


def test_the_last_of_repeated_judgments_holds(beir, export, caplog):
    folder = beir(CORPUS, QUERIES, [("q1", "d1", 0), ("q2", "d2", 1), ("q1", "d1", 3)])
    done = export().corpus(folder).split(folder)
    assert {"query_id": "q1", "doc_id": "d1", "relevance": 3} in read_rows(done.qrels, "qrels").to_pylist()
    assert read_json(done.manifest)["judgments"] == {"read": 3, "kept": 2, "dropped": {"repeated": 1}}
    assert "1 judgments repeat" in caplog.text


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ([], "holds no passage.*\nHint: check that the source"),
        ([*CORPUS, ("d2", "", "Again.")], "the passage id 'd2' is there more than once.*\nHint: ids must be unique"),
        ([*CORPUS, ("d6", "", " \t\n")], "the passage 'd6' is empty or white space.*\nHint: every passage needs text"),
        ([*CORPUS, ("", "", "Text.")], "passage id '' is empty or holds a NUL.*\nHint: give it another id"),
        ([*CORPUS, ("d\0", "", "Text.")], r"passage id 'd\\x00' is empty or holds a NUL.*\nHint: give it another id"),
        ([*CORPUS, ("d6", "", "Half \ud83d")], "passage 'd6' holds half of a surrogate.* 5.*\nHint: the text was cut"),
    ],
)
def test_a_bad_corpus_is_refused_and_leaves_no_file(beir, export, corpus, message):
    out = export(2)
    with pytest.raises(BackfireError, match=message):
        out.corpus(beir(corpus))
    assert out.files() == []


def test_a_truncated_corpus_is_refused_and_leaves_no_file(beir, export):
    folder = beir(CORPUS)
    path = Path(folder, "corpus.jsonl")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BackfireError, match="corpus.jsonl:5: not a JSON object(.|\n)*Hint: .*cut short"):
        export(2).corpus(folder)
    assert export(2).files() == []


@pytest.mark.parametrize("count", [0, 6])
def test_a_number_of_shards_that_the_corpus_cannot_fill_is_refused(beir, export, count):
    with pytest.raises(BackfireError, match=f"into {count} shards, but holds 5 passage.*\nHint: encoding.shards"):
        export(count).corpus(beir(CORPUS))
    assert export(count).files() == []


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (QUERIES, [("q9", "d1", 1)], "for the query 'q9', which is not among the 3 queries.*\nHint: queries and qrels"),
        (
            QUERIES,
            [*QRELS, ("q1", "d8", 1), ("q1", "d9", 1)],
            "the passage 'd8' and 1 more, .*\nHint: corpus and",
        ),
        (QUERIES, [], "there are no judgments.*\nHint: a split needs qrels"),
        (QUERIES, [("q1", "d1", 0)], "no query of 'test' has a relevant passage.*\nHint: raise the collection's size"),
        ([*QUERIES, ("q1", "Again")], QRELS, "the query id 'q1' is there more than once.*\nHint: ids must be unique"),
        ([*QUERIES, ("q4", " ")], QRELS, "the query 'q4' is empty or white space.*\nHint: write its text"),
        ([*QUERIES, ("", "No id")], QRELS, "query id '' is empty or holds a NUL.*\nHint: give it another id"),
    ],
)
def test_a_bad_query_set_is_refused_and_leaves_no_file(beir, export, queries, qrels, message):
    folder = beir(CORPUS, queries, qrels)
    out = export().corpus(folder)
    before = out.files()
    with pytest.raises(BackfireError, match=message):
        out.split(folder)
    assert out.files() == before


def test_a_passage_that_the_whole_source_lacks_is_an_error_also_in_a_subset(beir, export):
    folder = beir(CORPUS, QUERIES, [*QRELS, ("q1", "d9", 1)])
    out = export().corpus(folder, size=3)
    with pytest.raises(BackfireError, match=f"the passage 'd9', which the corpus '{folder}' does not hold"):
        out.split(folder)


def test_what_published_qrels_lack_is_dropped_and_counted_when_asked_for(beir, export, caplog):
    lacking = [("q1", "d8", 1), ("q3", "d9", 1), ("q9", "d1", 1), ("q9", "d1", 2)]
    folder = beir(CORPUS, QUERIES, [*QRELS, *lacking])
    out = export().corpus(folder)
    with pytest.raises(BackfireError, match="query 'q9'.* passage 'd8' and 1 more(.|\n)*Hint: .*missing: drop"):
        out.split(folder)
    out.split(folder, missing="drop")
    judged = [tuple(row.values()) for row in read_rows(out.qrels, "qrels").to_pylist()]
    assert sorted(judged) == sorted(row for row in QRELS if row[0] != "q3")
    manifest = read_json(out.manifest)
    assert manifest["missing"] == {"queries": 1, "passages": 2}
    assert manifest["queries"] == {"read": 3, "kept": 2, "dropped": {"relevant passages missing": 1}}
    dropped = {"query missing": 2, "passage missing": 2, "query dropped": 1}
    assert manifest["judgments"] == {"read": 9, "kept": 4, "dropped": dropped}
    assert "1 here" in caplog.text


def test_queries_that_are_passages_are_told(beir, export, caplog):
    corpus = [*CORPUS, ("q1", "", "What holds back water?"), ("q2", "", "Something else.")]
    folder = beir(corpus, QUERIES, QRELS)
    out = export().corpus(folder).split(folder)
    assert read_json(out.manifest)["queries that are passages"] == 1
    assert "1 of 2 queries are passages of the corpus themselves" in caplog.text


def test_a_subset_that_answers_no_query_says_what_to_do(beir, export):
    folder = beir(CORPUS, QUERIES, [("q1", "d4", 1)])
    out = export().corpus(folder, size=1)
    with pytest.raises(BackfireError, match="no query of 'test' has a relevant .*\nHint: raise the collection's size"):
        out.split(folder)


def test_pydocs_in_the_size_of_the_quickstart(pydocs_home, export):
    done = export(2).corpus("pydocs", 2000)
    assert len(done.passages()) == 2000
    kept = {doc_id for doc_id, _ in done.passages()}
    seen = set()
    for split, least in {"train": 600, "dev": 120, "test": 600, "unseen": 400}.items():
        done.split("pydocs", f"pydocs/{split}")
        queries = set(read_rows(done.queries, "queries")["query_id"].to_pylist())
        assert len(queries) >= least and not queries & seen
        assert {row["doc_id"] for row in read_rows(done.qrels, "qrels").to_pylist()} <= kept
        seen |= queries
    assert len(seen) == 2000


def test_a_collection_is_described_by_its_parts(beir, export, tmp_path):
    def described(qrels):
        folder = beir(CORPUS, QUERIES, qrels)
        done = export().corpus(folder).split(folder)
        describe_collection(done.corpus_manifest, [done.manifest], str(tmp_path / "manifest.json"))
        manifest = read_json(tmp_path / "manifest.json")
        assert manifest["corpus"] == read_json(done.corpus_manifest)
        assert manifest["splits"] == {"test": read_json(done.manifest)}
        return manifest["digest"]

    assert described(QRELS) == described(QRELS) != described(QRELS[:2])
