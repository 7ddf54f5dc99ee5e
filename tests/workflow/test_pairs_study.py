"""A file of pairs, all the way to the report; and what is said where it cannot be read."""

import csv
import json
import os

import pytest

from backfire.datasets.pydocs import collection_file
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

pytestmark = pytest.mark.workflow
RESULTS = "results/pairs"
PAIRS = 240


@pytest.fixture(scope="module")
def rows():
    """Docstrings of one package: a question, its answer, and the answer of another question."""
    records = [json.loads(line) for line in collection_file().open(encoding="utf-8")]
    kept = [record for record in records if record["package"] == "scipy"][:PAIRS]
    texts = [(record["query"], record["text"], record["doc_id"]) for record in kept]
    return [(query, answer, texts[row - 1][1], name) for row, (query, answer, name) in enumerate(texts)]


@pytest.fixture(scope="module")
def pairs(clone, prepared_base, rows, tmp_path_factory):
    """The study, run once."""
    engine = clone.on("pairs").elsewhere(tmp_path_factory.mktemp("pairs")).given(prepared_base)
    with (engine.directory / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("question", "answer", "negative", "from"), *rows])
    # Each query with the two passages after its own; those of queries that are judged or watched stay out.
    answers = [" ".join(row[1].split()) for row in rows]
    mined = [(row[0], *(answers[(at + step) % PAIRS] for step in range(3))) for at, row in enumerate(rows)]
    (engine.directory / "mined.tsv").write_text("".join("\t".join(row) + "\n" for row in mined), encoding="utf-8")
    engine.succeed()
    return engine


def table(engine, path, kind):
    return read_rows(engine.directory / path, kind).to_pylist()


def test_every_text_of_the_file_is_there_once(pairs, rows):
    corpus = table(pairs, "data/mine/corpus/1-of-1.parquet", "corpus")
    assert sorted(row["text"] for row in corpus) == sorted({row[1].strip() for row in rows})
    parts = {
        name: table(pairs, f"data/mine/queries/{name}.parquet", "queries") for name in ("train", "watched", "test")
    }
    asked = [row["text"] for part in parts.values() for row in part]
    assert sorted(asked) == sorted({row[0].strip() for row in rows}), "each query on one side"
    assert len(parts["test"]) > 60 and len(parts["train"]) > 90 and 2 < len(parts["watched"]) < 40
    manifest = read_json(pairs.directory / "data/mine/manifest.json")
    assert manifest["pairs"]["columns"] == {"query": "question", "passage": "answer", "negatives": ["negative"]}
    dropped = manifest["splits"]["train"]["queries"]["dropped"]["in the other part"]
    assert dropped == len(parts["watched"])


def test_triples_are_those_of_the_file(pairs, rows):
    texts = {row["doc_id"]: row["text"] for row in table(pairs, "data/mine/corpus/1-of-1.parquet", "corpus")}
    texts |= {row["query_id"]: row["text"] for row in table(pairs, "data/mine/queries/train.parquet", "queries")}
    triples = table(pairs, f"{RESULTS}/triples/own/seed-0.parquet", "triples")
    found = {(texts[each["query_id"]], texts[each["positive_id"]], texts[each["negative_id"]]) for each in triples}
    assert found <= {tuple(text.strip() for text in row[:3]) for row in rows}
    assert len(found) == len(triples) > 80


def test_a_file_of_triples_is_trained_on_as_it_is_and_never_on_what_is_judged(pairs, rows):
    triples = table(pairs, f"{RESULTS}/triples/mined/seed-0.parquet", "triples")
    texts = {row["doc_id"]: row["text"] for row in table(pairs, "data/mine/corpus/1-of-1.parquet", "corpus")}
    asked = {row["query_id"]: row["text"] for row in table(pairs, "data/mine/queries/train.parquet", "queries")}
    counts = read_json(pairs.directory / RESULTS / "triples/mined/seed-0.json")
    assert (counts["named by"], counts["read"], counts["kept"]) == ("texts", 2 * PAIRS, len(triples))
    assert sum(counts["dropped"].values()) == 2 * PAIRS - len(triples) > 2 * 60
    assert {"have a query of the split 'watched'", "have a query of the split 'test'"} <= counts["dropped"].keys()
    order = {row[0].strip(): at for at, row in enumerate(rows)}
    answers = [row[1].strip() for row in rows]
    for row in triples:
        at = order[asked[row["query_id"]]]
        assert texts[row["positive_id"]] == answers[at]
        assert texts[row["negative_id"]] in {answers[(at + 1) % PAIRS], answers[(at + 2) % PAIRS]}
    page = (pairs.directory / RESULTS / "report.html").read_text()
    assert "all triples of mined.tsv" in page and f"Of its {2 * PAIRS} triples, named by texts," in page
    assert pairs.planned() == []
    path, times = pairs.directory / "mined.tsv", (pairs.directory / "mined.tsv").stat()
    before = path.read_bytes()
    try:
        path.write_bytes(before.splitlines(keepends=True)[0] + before)
        planned = {job.split()[0] for job in pairs.planned()}
        assert {"take_triples", "train_variant"} <= planned and "sample_triples" not in planned
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_the_report_says_what_was_made_of_the_file(pairs):
    page = (pairs.directory / RESULTS / "report.html").read_text()
    assert f"It was made of {2 * PAIRS} pairs" in page and "queries from the column" in page
    assert "near-duplicates together" in page and "10% of them, cut off by a hash of their text" in page
    assert "judged not relevant to the query" in page
    rows = table(pairs, f"{RESULTS}/comparison.parquet", "comparison")
    assert {(row["collection"], row["split"]) for row in rows} == {("mine", "test")}


def test_a_row_more_reads_the_file_again(pairs):
    assert pairs.planned() == []
    path = pairs.directory / "pairs.csv"
    before, times = path.read_bytes(), path.stat()
    try:
        with path.open("a", newline="") as stream:
            csv.writer(stream).writerow(("What is one more question?", "One more answer.", "Another.", "here"))
        planned = {job.split()[0] for job in pairs.planned()}
        assert {"read_pairs", "export_corpus", "sample_triples", "train_variant", "write_report"} <= planned
        assert "prepare_base" not in planned
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"query": "quesion"}}, "columns: there is no 'quesion', did you mean 'question'?"),
        ({"splits": {"test": "tset"}}, "have no part 'tset', did you mean 'test'?"),
        ({"held_out": {"dev": 0.1, "test": 0}}, "leaves no share for 'test'"),
        ({"corpus": "pears.csv"}, "there is no file 'pears.csv'"),
        ({"corpus": "hf:pairs"}, "collections.mine.corpus: found 'hf:pairs', which is no id of a data set of the hub"),
    ],
)
def test_a_mistake_about_pairs_is_told_before_anything_is_computed(pairs, overlay, tmp_path, settings, message):
    engine = pairs.elsewhere(tmp_path / "work")
    for name in ("pairs.csv", "mined.tsv"):
        (engine.directory / name).write_bytes((pairs.directory / name).read_bytes())
    done = engine.run(overlays=overlay({"collections": {"mine": settings}}))
    text = done.stdout + done.stderr
    assert done.returncode != 0 and message in text and "Hint: " in text, text[-3000:]
    assert not (engine.directory / "data").exists()
