"""The one way to a collection: from a source named in the configuration to an `ir_datasets` dataset and its records."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ir_datasets
from ir_datasets.datasets.base import Dataset

from backfire.datasets import pydocs
from backfire.datasets.downloads import RECORD, recorded, require
from backfire.datasets.folder import folder_dataset
from backfire.datasets.ids import check_same_corpus, registered
from backfire.datasets.packages import package_versions
from backfire.datasets.sources import input_files, is_folder, is_pydocs
from backfire.datasets.wording import DEFAULT, docs_of, passages, sentence
from backfire.errors import BackfireError
from backfire.provenance.fingerprints import file_sha256


def load_corpus(source: str) -> Dataset:
    """The dataset with the passages of `source`, an `ir_datasets` id or a folder."""
    return folder_dataset(source) if is_folder(source) else registered(source, "docs")


def load_split(corpus: str, source: str) -> Dataset:
    """The dataset with the queries and qrels of `source`: an id, or for a folder the name of a split."""
    if is_folder(corpus):
        return folder_dataset(corpus, source)
    dataset = registered(source, "queries", "qrels")
    check_same_corpus(corpus, source)
    return dataset


def load_pairs(corpus: str, source: str) -> Dataset:
    """The dataset with the published triples of the id `source`, which must be about the passages of `corpus`."""
    dataset = registered(source, "docpairs")
    check_same_corpus(corpus, source)
    return dataset


def records(dataset: Dataset, source: str, part: str, text: str = DEFAULT) -> Iterator[Any]:
    """The records of a part (docs, queries, qrels, docpairs) of the dataset of `source`, in the order of the source.

    Never downloads: raises one `BackfireError` that lists all missing files, and one that names the source when it
    cannot be read. `text` is the text variant that passages are read in.
    """
    if source in ir_datasets.registry and ir_datasets.load(source) is dataset:
        require(source, [part], text)
    if part == "docs":
        return reading(source, lambda: passages(docs_of(dataset, source, text)))
    return reading(source, getattr(dataset, f"{part}_iter"))


def provenance(corpus: str, split: str | None = None, text: str = DEFAULT) -> dict[str, Any]:
    """What tells this source from another of the same name: versions of the packages, or digests of the files.

    For a corpus also its kind, and which text stands for a passage: its name and what it means.
    """
    if is_folder(corpus):
        kind, found = "folder", {"files": {file: file_sha256(file) for file in input_files(corpus, split)}}
    elif is_pydocs(corpus):
        versions = {"versions": package_versions()} if split is None else {}
        kind, found = "pydocs", {"collection_digest": pydocs.collection_digest(), **versions}
    else:
        kind, found = "ir_datasets", {"versions": {"ir_datasets": ir_datasets.__version__}}
    if split is not None:
        return found
    handler = docs_of(load_corpus(corpus), corpus, text)
    return {"kind": kind, "text": {"name": text, "meaning": sentence(handler, text)}, **found}


def contents(corpus: str, inputs: Iterable[str], split: str | None = None, text: str = DEFAULT) -> dict[str, Any]:
    """What decides the records of a corpus or a split: its provenance, and for an id the MD5 of all it is read from.

    `inputs` are the files of a job, among them, for what is downloaded, the record of the download.
    """
    found = provenance(corpus, split, text)
    if is_folder(corpus) or is_pydocs(split or corpus):
        return found
    parts = ["docs"] if split is None else ["queries", "qrels"]
    downloads = [path for path in inputs if Path(path).name == RECORD]
    return found | {"downloads": [recorded(path, split or corpus, parts, text) for path in downloads]}


def reading(source: str, start: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """What `start()` iterates over; what goes wrong meanwhile becomes an error that names the source."""
    count = 0
    try:
        for record in start():
            yield record
            count += 1
    except BackfireError:
        raise
    except OSError as error:
        raise BackfireError(
            f"'{source}' cannot be read: {type(error).__name__}: {error}",
            "check that its files are there and readable; for an ir_datasets id they lie under IR_DATASETS_HOME.",
        ) from error
    except Exception as error:
        # Whatever the parsers of ir_datasets raise for a line that they do not expect.
        raise BackfireError(
            f"'{source}' cannot be read after {count} record(s): {type(error).__name__}: {error}",
            "a file of it is damaged or not what its name says; for an ir_datasets id delete it under "
            f"{ir_datasets.util.home_path()} and fetch it again.",
        ) from error
