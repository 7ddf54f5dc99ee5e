"""What a collection holds, counted from files or told by ir_datasets."""

import gzip
import json

import ir_datasets
import pytest
from ir_datasets.formats import TsvDocs
from ir_datasets.util import LocalDownload

from backfire.formats.tables import write_batches
from backfire.planning.facts import ASSUMED_TEXT_BYTES, collection_facts
from backfire.study.parts import Collection


def collection(corpus, train=None, size=None, **splits):
    return Collection("mine", corpus, train, splits, size, False, "default", False, "refuse", {})


@pytest.fixture(params=["plain", "gzip"])
def folder(tmp_path, request):
    """A folder of 30 passages of 41 bytes and 10 queries, two of which have two judgments."""
    corpus = [json.dumps({"_id": f"p{row:02}", "title": "", "text": f"{'é' * 19} {row:02}"}) for row in range(30)]
    queries = [json.dumps({"_id": f"q{row}", "text": "what"}) for row in range(12)]
    judged = [f"q{row}\tp{row:02}\t1" for row in range(10)] + ["q0\tp11\t0", "q1\tp12\t2"]
    files = {
        "corpus.jsonl": corpus,
        "queries.jsonl": queries,
        "qrels/test.tsv": ["query-id\tcorpus-id\tscore", *judged],
    }
    for name, lines in files.items():
        path = tmp_path / "beir" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines) + "\n\n"
        if request.param == "gzip":
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
    return str(tmp_path / "beir")


def test_a_folder_is_counted(folder, tmp_path):
    facts = collection_facts(collection(folder, test="test"), tmp_path / "data")
    assert (facts.passages, facts.queries, facts.judgments) == (30, {"test": 10}, {"test": 12})
    assert (facts.text_bytes, facts.id_bytes, len(facts.sample)) == (41, 3, 30)
    assert facts.assumed == []


def test_tables_that_are_there_are_what_lengths_are_taken_from(folder, tmp_path):
    rows = [{"doc_id": f"passage-{row}", "text": "short"} for row in range(5)]
    write_batches(tmp_path / "data/corpus/1-of-1.parquet", "corpus", [rows])
    told = collection("beir/scifact", test="beir/scifact/test")
    facts = collection_facts(told, tmp_path / "data", packed=10**7)
    assert (facts.passages, facts.text_bytes, facts.id_bytes) == (5183, 5, 9)
    assert facts.sample == ["short"] * 5


def test_pydocs_has_a_query_for_each_passage_of_its_splits(tmp_path):
    splits = {"test": "pydocs/test", "unseen": "pydocs/unseen"}
    facts = collection_facts(collection("pydocs", "pydocs/train", **splits), tmp_path)
    counted = ir_datasets.load("pydocs")
    assert facts.passages == counted.docs_count()
    assert facts.queries == facts.judgments
    assert set(facts.queries) == {"train", "test", "unseen"}
    half = collection_facts(collection("pydocs", "pydocs/train", facts.passages // 2, **splits), tmp_path)
    assert half.passages == facts.passages // 2
    assert half.queries["train"] == pytest.approx(facts.queries["train"] / 2, abs=1)


def test_what_ir_datasets_tells_before_a_download(tmp_path):
    study = collection("msmarco-passage", "msmarco-passage/train/split200-train", dev_small="msmarco-passage/dev/small")
    facts = collection_facts(study, tmp_path, packed=1_057_717_952)
    assert (facts.passages, facts.queries["dev_small"]) == (8_841_823, 6_980)
    # 808,531 training queries, most without a judgment.
    assert facts.queries["train"] == 532_630
    # collection.tsv is 3.06 GB with ids and tabs.
    assert facts.text_bytes == pytest.approx(3.06e9 / 8_841_823 - 8, rel=0.1)
    assert facts.assumed == ["359 bytes a passage, 3 times the download"]


def test_what_nobody_tells_is_said_to_be_unknown(tmp_path):
    ir_datasets.registry.register("untold", ir_datasets.Dataset(TsvDocs(LocalDownload(tmp_path / "untold.tsv"))))
    facts = collection_facts(collection("untold", test="untold"), tmp_path / "data")
    assert (facts.passages, facts.queries, facts.text_bytes) == (None, {"test": None}, ASSUMED_TEXT_BYTES)
    assert any("number of passages is unknown" in text for text in facts.assumed)
    assert any("number of queries is unknown for test" in text for text in facts.assumed)
