"""Which text stands for a passage."""

import io
import tarfile

import ir_datasets
import pytest
from ir_datasets.datasets.base import Dataset
from ir_datasets.datasets.beir import BeirTitleDoc
from ir_datasets.datasets.msmarco_passage import FixEncoding
from ir_datasets.formats import TsvDocs
from ir_datasets.util import Cache, LocalDownload, TarExtract

from backfire.datasets.folder import folder_dataset
from backfire.datasets.load import load_corpus
from backfire.datasets.wording import docs_of, passages, sentence, texts_of, wording
from backfire.errors import BackfireError

PUBLISHED = "It costs 5 â\x82¬ in SÃ£o Paulo. "
REPAIRED = "It costs 5 € in São Paulo. "


@pytest.fixture
def marco(tmp_path):
    """A dataset as ir_datasets builds that of MS MARCO, over a tar file of one line."""
    line = f"7\t{PUBLISHED}\n".encode()
    with tarfile.open(tmp_path / "collection.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("collection.tsv")
        member.size = len(line)
        tar.addfile(member, io.BytesIO(line))
    source = TarExtract(LocalDownload(tmp_path / "collection.tar.gz"), "collection.tsv")
    return Dataset(TsvDocs(Cache(FixEncoding(source), tmp_path / "home/collection.tsv")))


def texts(dataset, text):
    handler = docs_of(dataset, "source", text)
    return [wording(doc, "source", text) for doc in passages(handler)], sentence(handler, text)


def test_published_text_is_not_repaired(marco, tmp_path):
    published, meaning = texts(marco, "published")
    assert published == [PUBLISHED] and "as it was published" in meaning
    assert not (tmp_path / "home/collection.tsv").exists()
    default, meaning = texts(marco, "default")
    assert default == [REPAIRED.strip()] and "repaired" in meaning
    assert texts(marco, "published")[0] == [PUBLISHED]
    assert texts_of(marco.docs_handler()) == ["default", "published"]


def test_titles_are_joined_as_beir_does_or_left_out(beir):
    folder = beir([("a", "Weirs", " A weir. "), ("b", "", " A lock.\n"), ("c", "Only a title", "")])
    default, meaning = texts(folder_dataset(folder), "default")
    assert default == ["Weirs  A weir.", "A lock.", "Only a title"] and "Title and text" in meaning
    untitled, meaning = texts(folder_dataset(folder), "untitled")
    assert untitled == ["A weir.", "A lock.", ""] and "without the title" in meaning
    doc = BeirTitleDoc("d", "A weir. ", "Weirs")
    assert wording(doc, "beir/scifact") == "Weirs A weir."
    assert wording(doc, "beir/scifact", "untitled") == "A weir."


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("msmarco-passage", "untitled", "have no titles.*\nHint: set text to default or published"),
        ("beir/scifact", "published", "nothing repairs it.*\nHint: set text to default or untitled"),
        ("vaswani", "published", "nothing repairs it.*\nHint: set text to default\\."),
        ("pydocs", "untitled", "have no titles.*\nHint: set text to default\\."),
    ],
)
def test_a_text_that_a_source_does_not_have(source, text, message):
    with pytest.raises(BackfireError, match=f"'{source}' has no text '{text}': .*{message}"):
        docs_of(load_corpus(source), source, text)


def test_passages_are_streamed_without_a_copy_to_look_ids_up_in():
    handler = ir_datasets.load("beir/scifact").docs_handler()
    assert passages(handler).__name__ == "_docs_iter"


def test_records_without_a_text_are_an_error():
    code = load_corpus("codesearchnet").docs_cls()
    assert not hasattr(code, "default_text")
    with pytest.raises(BackfireError, match="'codesearchnet'.*no default text.*\nHint: write the texts to a folder"):
        wording(code(*code._fields), "codesearchnet")
