"""What a folder may look like, by example; docs/inputs.md is rendered from these very folders.

`python tests/lib/datasets/test_inputs.py` writes the page again.
"""

import gzip
import io
import re
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backfire.datasets.folder import folder_dataset
from backfire.datasets.sources import input_files
from backfire.errors import BackfireError

PAGE = Path(__file__).parents[3] / "docs/inputs.md"
INTRO = """# What is read

<!-- Rendered by tests/lib/datasets/test_inputs.py from the folders that it tests; edit those. -->

A collection is an `ir_datasets` id or a folder. The folders below all give the passages and judgments of the first
one; `splits: {test: test}` names the judgments. Text files may be packed with gzip (`.gz`). Ids are kept as they are
written. What could be meant in two ways is refused, with what was found; so is each folder of the second table.

Judgments of queries or passages that the collection lacks stop the study, or with `missing: drop` are left out and
counted in `data/<collection>/manifest.json`. Grades are digits with a sign, up to 1,000,000; `1.0` counts as 1.
`relevance: {train: 2}` takes passages of grade 2 and above as positives: those of grade 1 are then neither positives
nor negatives, and passages judged not relevant (0 or less) may be negatives, whatever the threshold.

A passage that is a training query itself, by id or by text but for outer white space, as in ArguAna and Quora, is no
negative of that query; the log of `sample_triples` tells how many queries there are of that kind.
"""

CORPUS = '{"_id": "01", "title": "Sluices", "text": "They hold water."}\n{"_id": "02", "text": "Locks lift boats."}\n'
QUERIES = '{"_id": "q1", "text": "what holds water"}\n{"_id": "q2", "text": "what lifts boats"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\t01\t2\nq2\t02\t1\n"
BEIR = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}
PASSAGES = {"01": "Sluices They hold water.", "02": "Locks lift boats."}
JUDGED = [("q1", "01", 2), ("q2", "02", 1)]


def parquet(**columns):
    stream = io.BytesIO()
    pq.write_table(pa.table({name.replace("__", "-"): values for name, values in columns.items()}), stream)
    return stream.getvalue()


def instead(removed, **files):
    return {name: content for name, content in BEIR.items() if name not in removed.split()} | files


_PASSAGES = parquet(_id=["01", "02"], title=["Sluices", ""], text=["They hold water.", "Locks lift boats."])
_QUERIES = parquet(_id=["q1", "q2"], text=["what holds water", "what lifts boats"])
_QRELS = parquet(query__id=["q1", "q2"], corpus__id=["01", "02"], score=[2.0, 1.0])
HALVES = CORPUS.splitlines(keepends=True)

READ = {
    "BEIR": BEIR,
    "packed with gzip": {f"{name}.gz": gzip.compress(content.encode()) for name, content in BEIR.items()},
    "TREC qrels": instead("qrels/test.tsv", **{"qrels/test.txt": "q1 0 01 2\nq2 0 02 1\n"}),
    "TREC qrels of another tool's name": instead(
        "qrels/test.tsv", **{"qrels.test.tsv": "q1\tQ0\t01\t2\nq2\tQ0\t02\t1\n"}
    ),
    "another tool's header": instead("", **{"qrels/test.tsv": "docid\tqid\trel\n01\tq1\t2\n02\tq2\t1\n"}),
    "grades with a point": instead("", **{"qrels/test.tsv": "q1\t01\t2.0\nq2\t02\t1.0\n"}),
    "qrels as comma-separated text": instead(
        "qrels/test.tsv", **{"qrels/test.csv": "query_id,doc_id,relevance\nq1,01,2\nq2,02,1\n"}
    ),
    "qrels as JSON lines": instead(
        "qrels/test.tsv",
        **{
            "qrels/test.jsonl": '{"query-id": "q1", "corpus-id": "01", "score": 2}\n'
            '{"query-id": "q2", "corpus-id": "02", "score": 1.0}\n'
        },
    ),
    "Pyserini, Anserini": instead(
        "corpus.jsonl",
        **{
            "corpus/0.jsonl": '{"id": "01", "contents": "Sluices They hold water."}\n',
            "corpus/1.jsonl": '{"id": "02", "contents": "Locks lift boats."}\n',
        },
    ),
    "docid and text": instead("corpus.jsonl", **{"corpus.jsonl": CORPUS.replace("_id", "docid")}),
    "tab-separated texts": instead(
        "corpus.jsonl queries.jsonl",
        **{
            "collection.tsv": "01\tSluices They hold water.\n02\tLocks lift boats.\n",
            "queries.test.tsv": "q1\twhat holds water\nq2\twhat lifts boats\n",
        },
    ),
    "Parquet": {"corpus.parquet": _PASSAGES, "queries.parquet": _QUERIES, "qrels/test.parquet": _QRELS},
    "Parquet as the hub's datasets lie": {
        "corpus/corpus-00000-of-00001.parquet": _PASSAGES,
        "queries/queries-00000-of-00001.parquet": _QUERIES,
        "qrels/test-00000-of-00001.parquet": _QRELS,
    },
    "pieces": instead("corpus.jsonl", **{"corpus-1.jsonl": HALVES[0], "corpus-2.jsonl": HALVES[1]}),
    "queries of each split": instead("queries.jsonl", **{"queries/test.jsonl": QUERIES, "queries/dev.jsonl": "{}\n"}),
}

REFUSED = {
    "a piece is missing": instead(
        "corpus.jsonl", **{"corpus/a-0-of-3.jsonl": HALVES[0], "corpus/a-2-of-3.jsonl": HALVES[1]}
    ),
    "a file twice": instead("", **{"corpus.parquet": _PASSAGES}),
    "another name": instead("corpus.jsonl", **{"documents.jsonl": CORPUS}),
    "another split": instead("qrels/test.tsv", **{"qrels/tset.tsv": QRELS}),
    "a grade that is none": instead("", **{"qrels/test.tsv": "q1\t01\t1_0\n"}),
    "a grade beyond all": instead("", **{"qrels/test.tsv": "q1\t01\t99999999999\n"}),
    "an unknown header": instead("", **{"qrels/test.tsv": "frage\tstelle\tnote\nq1\t01\t1\n"}),
    "a run": instead("", **{"qrels/test.tsv": "q1 Q0 01 1 0.5 bm25\n"}),
    "two texts": instead("", **{"corpus.jsonl": '{"id": "01", "text": "They hold water.", "contents": "Sluices."}\n'}),
    "ids as numbers with a point": instead("corpus.jsonl", **{"corpus.parquet": parquet(_id=[1.0], text=["Sluices."])}),
    "Arrow": instead("corpus.jsonl", **{"corpus/data-00000-of-00001.arrow": b"ARROW1"}),
}


def written(files, folder):
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def refusal(folder):
    with pytest.raises(BackfireError) as caught:
        input_files(folder)
        input_files(folder, "test")
        dataset = folder_dataset(folder, "test")
        for part in (dataset.docs_iter(), dataset.queries_iter(), dataset.qrels_iter()):
            list(part)
    return str(caught.value).replace(f"{folder}/", "").replace(folder, ".")


def page():
    lines = ["", "| folder | files |", "|---|---|"]
    for name, files in READ.items():
        lines.append(f"| {name} | {', '.join(f'`{file}`{_begins(content)}' for file, content in files.items())} |")
    lines += ["", "| refused | what is said |", "|---|---|"]
    for name, files in REFUSED.items():
        with tempfile.TemporaryDirectory() as folder:
            said = refusal(written(files, folder)).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {name} | {said} |")
    return INTRO + "\n".join(lines) + "\n"


def _begins(content):
    """The first line of a text that is not BEIR's."""
    if isinstance(content, bytes) or content in BEIR.values():
        return ""
    return f" (`{content.splitlines()[0]}`)".replace("\t", " ⇥ ")


@pytest.mark.parametrize("name", READ)
def test_a_folder_is_read(name, tmp_path):
    folder = written(READ[name], tmp_path)
    assert input_files(folder) and input_files(folder, "test")
    dataset = folder_dataset(folder, "test")
    assert {doc.doc_id: doc.default_text() for doc in dataset.docs_iter()} == PASSAGES
    assert [query.query_id for query in dataset.queries_iter()] == ["q1", "q2"]
    assert sorted(tuple(qrel) for qrel in dataset.qrels_iter()) == JUDGED


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_is_refused_with_what_is_there(name, tmp_path):
    said = refusal(written(REFUSED[name], tmp_path))
    assert re.search(r"\nHint: .{20}", said)


def test_the_page_shows_these_folders():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/lib/datasets/test_inputs.py"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
