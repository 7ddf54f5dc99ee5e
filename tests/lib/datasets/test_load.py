import hashlib
from pathlib import Path

import pytest
from ir_datasets.formats import TsvDocs
from ir_datasets.util import LocalDownload

from backfire.datasets.ids import check_needs
from backfire.datasets.load import load_corpus, load_pairs, load_split, provenance, reading
from backfire.datasets.pydocs import PINNED_DIGEST, PINNED_VERSIONS
from backfire.datasets.sources import is_folder, is_pydocs, needed_parts
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


def test_a_query_set_of_another_corpus_is_refused():
    with pytest.raises(
        BackfireError,
        match="'beir/scifact/test' belongs to the corpus 'beir/scifact', not to 'msmarco-passage'.*\n"
        "Hint: set corpus to beir/scifact, or name a query set of 'msmarco-passage': msmarco-passage/dev",
    ):
        load_split("msmarco-passage", "beir/scifact/test")
    with pytest.raises(BackfireError, match="'pydocs/test' belongs to the corpus 'pydocs', not to 'vaswani'"):
        load_split("vaswani", "pydocs/test")
    with pytest.raises(BackfireError, match="belongs to the corpus 'msmarco-passage', not to 'pydocs'"):
        load_split("pydocs", "msmarco-passage/dev/small")


def test_any_id_of_a_family_names_its_corpus():
    assert load_split("msmarco-passage/dev", "msmarco-passage/trec-dl-2019/judged").has_qrels()
    with pytest.raises(BackfireError, match=r"not to 'beir/nfcorpus/dev' \(that is, beir/nfcorpus\)"):
        load_split("beir/nfcorpus/dev", "beir/scifact/test")


def test_published_triples_belong_to_the_corpus_and_hold_pairs(vaswani):
    assert load_pairs("msmarco-passage", "msmarco-passage/train/triples-small").has_docpairs()
    with pytest.raises(BackfireError, match="'msmarco-passage/dev' has no document pairs.*\nHint: .*passage/train"):
        load_pairs("msmarco-passage", "msmarco-passage/dev")
    with pytest.raises(BackfireError, match="belongs to the corpus 'msmarco-passage', not to 'beir/scifact'"):
        load_pairs("beir/scifact", "msmarco-passage/train/triples-small")
    with pytest.raises(BackfireError, match="the corpus '.*vaswani' is a folder.*\nHint: name the ir_datasets id"):
        load_pairs(vaswani, "msmarco-passage/train/triples-small")


def test_what_a_collection_needs_is_checked_id_by_id(vaswani):
    check_needs("msmarco-passage", {"msmarco-passage": ["docs"], "msmarco-passage/dev/small": ["queries", "qrels"]})
    with pytest.raises(BackfireError, match="'msmarco-passage/dev' has no document pairs"):
        check_needs("msmarco-passage", {"msmarco-passage": ["docs"], "msmarco-passage/dev": ["docpairs"]})
    with pytest.raises(BackfireError, match="not to 'msmarco-passage'"):
        check_needs("msmarco-passage", {"msmarco-passage": ["docs"], "beir/scifact/test": ["qrels"]})
    needs = needed_parts(vaswani, ["test"], ["msmarco-passage/train/triples-small"])
    with pytest.raises(BackfireError, match="the corpus '.*vaswani' is a folder.*\nHint: name the ir_datasets id"):
        check_needs(vaswani, needs)


def test_a_source_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BackfireError, match="'somewhere' cannot be read: FileNotFound.*\nHint: .*IR_DATASETS_HOME"):
        list(reading("somewhere", lambda: (tmp_path / "missing").open()))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("8 no tab", "after 1 record.*RuntimeError: expected 2 fields, got 1"),
        ("8\ttoo\tmany", "after 1 record.*RuntimeError: expected 2 fields, got 3"),
        ("8\t\udcff", "UnicodeDecodeError"),
    ],
)
def test_a_line_that_ir_datasets_cannot_read_is_told_with_the_source(tmp_path, line, message):
    path = tmp_path / "collection.tsv"
    path.write_bytes(f"7\tfine\n{line}\n".encode("utf-8", "surrogateescape"))
    docs = TsvDocs(LocalDownload(path))
    with pytest.raises(BackfireError, match=f"'msmarco' cannot be read {message}|'msmarco' cannot be read.*{message}"):
        list(reading("msmarco", docs.docs_iter))


def test_a_mistake_in_a_source_is_told_as_it_is():
    def start():
        raise BackfireError("file:7: wrong.", "repair it.")

    with pytest.raises(BackfireError, match="^file:7: wrong"):
        list(reading("anywhere", start))


def test_what_a_collection_needs_of_ir_datasets(vaswani):
    pairs = ["msmarco-passage/train/triples-small"]
    assert needed_parts("msmarco-passage", ["msmarco-passage/train", "msmarco-passage/dev"], pairs) == {
        "msmarco-passage": ["docs"],
        "msmarco-passage/train": ["queries", "qrels"],
        "msmarco-passage/dev": ["queries", "qrels"],
        "msmarco-passage/train/triples-small": ["docpairs"],
    }
    assert needed_parts("vaswani", ["vaswani"]) == {"vaswani": ["docs", "queries", "qrels"]}
    assert needed_parts(vaswani, ["test"]) == needed_parts("pydocs", ["pydocs/train", "pydocs/test"]) == {}


def test_provenance_of_each_kind(vaswani, pydocs_home):
    corpus = f"{vaswani}/corpus.jsonl"
    found = provenance(vaswani)
    assert found["kind"] == "folder" and found["text"]["name"] == "default"
    assert found["files"] == {corpus: hashlib.sha256(Path(corpus).read_bytes()).hexdigest()}
    assert list(provenance(vaswani, "test")["files"]) == [f"{vaswani}/queries.jsonl", f"{vaswani}/qrels/test.tsv"]
    assert provenance("pydocs")["versions"] == PINNED_VERSIONS
    assert provenance("pydocs", "pydocs/test") == {"collection_digest": PINNED_DIGEST}
    assert provenance("msmarco-passage")["kind"] == "ir_datasets"
