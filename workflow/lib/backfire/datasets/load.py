"""The one way to a collection: from a source named in the configuration to an `ir_datasets` dataset."""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import ir_datasets
from ir_datasets.datasets.base import Dataset

from backfire.datasets import pydocs
from backfire.datasets.folder import folder_dataset
from backfire.datasets.packages import package_versions
from backfire.datasets.sources import corpus_file, is_folder, is_pydocs, qrels_file, queries_file
from backfire.errors import BackfireError
from backfire.provenance import file_sha256


def load_corpus(source: str) -> Dataset:
    """The dataset with the passages of `source`, an `ir_datasets` id or a folder in BEIR layout."""
    if is_folder(source):
        return folder_dataset(source)
    dataset = _registered(source)
    if not dataset.has_docs():
        raise BackfireError(
            f"the ir_datasets id '{source}' has no passages.", f"name one that has: {_children(source, 'docs')}."
        )
    return dataset


def load_split(corpus: str, source: str) -> Dataset:
    """The dataset with the queries and qrels of `source`: an id, or for a folder the name of a file under qrels/."""
    if is_folder(corpus):
        return folder_dataset(corpus, source)
    dataset = _registered(source)
    for part, there in (("queries", dataset.has_queries()), ("qrels", dataset.has_qrels())):
        if not there:
            raise BackfireError(
                f"the query set '{source}' has no {part}.",
                f"a split needs queries with judgments; name an id that has them: {_children(source, 'qrels')}.",
            )
    return dataset


def provenance(corpus: str, split: str | None = None) -> dict[str, Any]:
    """What tells this source from another of the same name: versions of the packages, or digests of the files.

    For a corpus also its kind and which text stands for a passage.
    """
    if is_folder(corpus):
        if split is not None:
            return _digests(queries_file(corpus), qrels_file(corpus, split))
        return {"kind": "folder", "text": "title and text joined by a space", **_digests(corpus_file(corpus))}
    if is_pydocs(corpus):
        if split is not None:
            return {"collection_digest": pydocs.collection_digest()}
        return {
            "kind": "pydocs",
            "text": "docstring without its first paragraph",
            "collection_digest": pydocs.collection_digest(),
            "versions": package_versions(),
        }
    versions = {"versions": {"ir_datasets": ir_datasets.__version__}}
    return versions if split is not None else {"kind": "ir_datasets", "text": "default_text()", **versions}


def text_of(record: Any, source: str) -> str:
    """The text of a passage or query: its `default_text()`."""
    if not hasattr(record, "default_text"):
        raise BackfireError(
            f"'{source}': {type(record).__name__} with the fields {', '.join(record._fields)} has no default text.",
            "write the texts to a folder in BEIR layout and name that folder as the corpus.",
        )
    return record.default_text()


def reading(source: str, start: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """What `start()` iterates over; a failed download or a missing file becomes an error that names the source."""
    try:
        yield from start()
    except OSError as error:
        raise BackfireError(
            f"'{source}' cannot be read: {type(error).__name__}: {error}",
            "ir_datasets downloads on first use; on a machine without network, put its files under IR_DATASETS_HOME "
            "beforehand, for instance by running the same export where there is a network.",
        ) from error


def _digests(*files: str) -> dict[str, Any]:
    return {"files": {file: file_sha256(file) for file in files}}


def _registered(source: str) -> Dataset:
    try:
        return ir_datasets.load(source)
    except KeyError:
        if source.startswith((".", "/", "~")):
            raise BackfireError(
                f"'{source}': there is no such folder.",
                "a path counts from the folder in which snakemake runs; ~ is not expanded.",
            ) from None
        near = get_close_matches(source, list(ir_datasets.registry), n=3, cutoff=0.5)
        raise BackfireError(
            f"'{source}' is neither an id of ir_datasets nor a folder.",
            f"did you mean {' or '.join(near)}?" if near else "ids are listed at https://ir-datasets.com.",
        ) from None


def _children(source: str, part: str) -> str:
    """Ids of the same family that have `part`, for a hint."""
    family = source.split("/")[0]
    ids = (name for name in ir_datasets.registry if name.split("/")[0] == family)
    return ", ".join(sorted(name for name in ids if ir_datasets.load(name).has(part))[:8]) or "none of its family does"
