import hashlib
from pathlib import Path

import pytest

from backfire.datasets.load import load_corpus, load_split, provenance, reading
from backfire.datasets.pydocs import PINNED_DIGEST, PINNED_VERSIONS
from backfire.datasets.sources import is_folder, is_pydocs
from backfire.errors import BackfireError


def test_an_id_and_a_folder_are_told_apart(vaswani, tmp_path, monkeypatch):
    assert is_folder(vaswani)
    assert not is_folder("msmarco-passage") and not is_folder(f"{vaswani}/corpus.jsonl")
    monkeypatch.chdir(tmp_path)
    Path("pydocs").mkdir()
    Path("local").mkdir()
    assert is_folder("local") and is_folder("./pydocs")
    assert is_pydocs("pydocs/test") and not is_folder("pydocs")


def test_a_folder_and_its_split(vaswani):
    assert load_corpus(vaswani).has_docs()
    assert load_split(vaswani, "test").has_qrels()


def test_ids_of_ir_datasets_and_of_the_embedded_collection():
    assert load_corpus("msmarco-passage").docs_cls().__name__ == "GenericDoc"
    assert load_split("msmarco-passage", "msmarco-passage/dev/small").has_qrels()
    assert load_corpus("pydocs").dataset_id() == "pydocs"
    assert load_split("pydocs", "pydocs/unseen").dataset_id() == "pydocs/unseen"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("pydoc", "did you mean .*pydocs"),
        ("msmarco-pasage/dev/small", "did you mean .*msmarco-passage/dev/small"),
        ("qqqqqqqqqqqqqqq", "https://ir-datasets.com"),
        ("../no/such/folder", "no such folder(.|\n)*Hint: a path counts from"),
    ],
)
def test_an_unknown_source_names_the_nearest(source, expected):
    with pytest.raises(BackfireError, match=rf"'{source}'(.|\n)*{expected}"):
        load_corpus(source)


def test_a_split_needs_queries_and_judgments():
    with pytest.raises(BackfireError, match="'pydocs' has no queries.*\nHint: .*pydocs/dev, pydocs/test"):
        load_split("pydocs", "pydocs")
    with pytest.raises(BackfireError, match="'msmarco-passage/eval' has no qrels.*\nHint: .*msmarco-passage/dev"):
        load_split("msmarco-passage", "msmarco-passage/eval")


def test_a_source_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BackfireError, match="'somewhere' cannot be read: FileNotFound.*\nHint: .*IR_DATASETS_HOME"):
        list(reading("somewhere", lambda: (tmp_path / "missing").open()))


def test_provenance_of_each_kind(vaswani, pydocs_home):
    corpus = f"{vaswani}/corpus.jsonl"
    found = provenance(vaswani)
    assert found["kind"] == "folder"
    assert found["files"] == {corpus: hashlib.sha256(Path(corpus).read_bytes()).hexdigest()}
    assert list(provenance(vaswani, "test")["files"]) == [f"{vaswani}/queries.jsonl", f"{vaswani}/qrels/test.tsv"]
    assert provenance("pydocs")["versions"] == PINNED_VERSIONS
    assert provenance("pydocs", "pydocs/test") == {"collection_digest": PINNED_DIGEST}
    assert provenance("msmarco-passage")["kind"] == "ir_datasets"
