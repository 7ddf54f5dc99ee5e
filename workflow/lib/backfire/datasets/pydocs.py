"""`pydocs`: a collection that every installation holds, real English text from the packages Backfire depends on.

The first paragraph of a docstring is a query and the rest of it the one passage that answers it. Registered with
`ir_datasets` as `pydocs` (the passages) and `pydocs/train`, `/dev`, `/test` and `/unseen` (with queries and qrels).
For the versions in `PINNED_VERSIONS` the collection is the same everywhere: wheels for Linux, macOS and Windows
gave the same bytes on Python 3.11, 3.12 and 3.13, as their Python sources differ in generated files, which are
left out, and in line ends only. With other versions it is another collection, which its digest tells.
"""

import json
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import ir_datasets
from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import BaseQrels, BaseQueries, GenericDoc, GenericQrel, GenericQuery

import backfire
from backfire.datasets import extraction
from backfire.datasets.packages import PACKAGES, package_versions
from backfire.datasets.sources import PYDOCS
from backfire.datasets.streams import StreamedDocs
from backfire.formats.atomic import replacing
from backfire.jobs.faults import reading
from backfire.jobs.logs import progress
from backfire.provenance.fingerprints import code_digest, file_sha256, value_digest

PINNED_VERSIONS = {
    "accelerate": "1.15.0",
    "datasets": "5.2.0",
    "huggingface_hub": "2.4.0",
    "matplotlib": "3.11.2",
    "networkx": "3.6.1",
    "numpy": "2.4.6",
    "pandas": "3.1.1",
    "peft": "0.21.2",
    "scikit-learn": "1.9.1",
    "scipy": "1.17.1",
    "sentence-transformers": "6.2.0",
    "statsmodels": "0.15.0",
    "sympy": "1.14.0",
    "torch": "2.13.0",
    "transformers": "5.23.0",
}
PINNED_DIGEST = "a6c605472ca44fc5438a243c1c80c4f15b4954147501b9d29ddccee2ba4e0b01"
PINNED_COUNTS = {"passages": 27003, "train": 9309, "dev": 2091, "test": 9248, "unseen": 6355}

_logger = logging.getLogger(__name__)


def collection_file() -> Path:
    """The collection as JSON lines under the home of `ir_datasets`; extracted when it is not there yet.

    Its name tells package versions and code, so an upgrade makes another. Parallel jobs wait for the first.
    """
    from filelock import FileLock

    folder = ir_datasets.util.home_path() / PYDOCS
    path = folder / f"{_key()[:16]}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _extract(path)
    return path


def collection_digest() -> str:
    """SHA-256 of the whole collection; warns when it is not the pinned one."""
    digest = file_sha256(collection_file())
    if digest != PINNED_DIGEST:
        versions = package_versions()
        changed = [f"{name} {versions[name]}" for name, pin in PINNED_VERSIONS.items() if versions[name] != pin]
        _logger.warning(
            "pydocs is not the pinned collection (%s): its results compare only with others of the same digest, %s.",
            ", ".join(changed) or "sources of the packages were modified",
            digest,
        )
    return digest


def register() -> None:
    """Make the ids known to `ir_datasets`, once."""
    if PYDOCS in ir_datasets.registry:
        return
    docs = PydocsDocs()
    ir_datasets.registry.register(PYDOCS, Dataset(docs))
    for split in extraction.SPLITS:
        ir_datasets.registry.register(f"{PYDOCS}/{split}", Dataset(docs, PydocsQueries(split), PydocsQrels(split)))


class PydocsDocs(StreamedDocs):
    """The passages."""

    def read(self) -> Iterator[GenericDoc]:
        """All passages, by package and path of the source file."""
        return (GenericDoc(record["doc_id"], record["text"]) for record in _records())

    def docs_namespace(self) -> str:
        """Name of the space of ids."""
        return PYDOCS

    def docs_lang(self) -> str:
        """ISO 639-1 code."""
        return "en"


class PydocsQueries(BaseQueries):
    """The queries of a split."""

    def __init__(self, split: str):
        self._split = split

    def queries_iter(self) -> Iterator[GenericQuery]:
        """Queries, in the order of their passages."""
        return (GenericQuery(record["query_id"], record["query"]) for record in _records(self._split))

    def queries_namespace(self) -> str:
        """Name of the space of ids."""
        return PYDOCS

    def queries_lang(self) -> str:
        """ISO 639-1 code."""
        return "en"


class PydocsQrels(BaseQrels):
    """The judgments of a split: each query has one relevant passage."""

    def __init__(self, split: str):
        self._split = split

    def qrels_iter(self) -> Iterator[GenericQrel]:
        """Judgments, in the order of the passages."""
        return (GenericQrel(record["query_id"], record["doc_id"], 1) for record in _records(self._split))

    def qrels_defs(self) -> dict[int, str]:
        """What the grades mean."""
        return {1: "the rest of the docstring that the query is the first paragraph of"}


def _records(split: str | None = None) -> Iterator[dict]:
    with reading(collection_file()), collection_file().open(encoding="utf-8") as stream:
        for line in stream:
            record = json.loads(line)
            if split is None or record["split"] == split:
                yield record


@cache
def _key() -> str:
    library = Path(backfire.__file__).parent.parent
    return value_digest({"versions": package_versions(), "code": code_digest(extraction.__file__, library)})


def _extract(path: Path) -> None:
    _logger.info("extracting pydocs to %s", path)
    found = []
    with progress("reading docstrings", len(PACKAGES), "package") as bar:
        for package in PACKAGES:
            found.append((package, extraction.read_package(package)))
            bar.update()
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for record in extraction.records(found):
            stream.write(json.dumps(record._asdict(), ensure_ascii=False) + "\n")


register()
