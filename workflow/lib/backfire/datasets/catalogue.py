"""What `ir_datasets` publishes about its ids in a file of its package, read without loading the package.

It names every id (but those that are made by a pattern) with its parts, docs, queries, qrels and docpairs, and for each
part how many records there are, or the id whose part it is. Reading it takes 2 ms, loading the package 300.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

# The query sets that BEIR took over from collections that have an id of their own.
ALSO_KNOWN_AS = {
    "beir/msmarco/train": "msmarco-passage/train",
    "beir/msmarco/dev": "msmarco-passage/dev/small",
    "beir/msmarco/test": "msmarco-passage/trec-dl-2019",
    "beir/nfcorpus/train": "nfcorpus/train",
    "beir/nfcorpus/dev": "nfcorpus/dev",
    "beir/nfcorpus/test": "nfcorpus/test",
    "beir/trec-covid": "cord19/trec-covid",
}


def published_count(source: str, part: str) -> int | None:
    """Records of a part of an id; None where it is not published."""
    return _catalogue().get(original(source, part), {}).get(part, {}).get("count")


def has_parts(source: str, parts: list[str]) -> bool:
    """Whether the catalogue lists an id with those parts; False says nothing of an id that it lacks."""
    return set(parts) <= _catalogue().get(source, {}).keys()


def original(source: str, part: str) -> str:
    """The id whose records a part of the id `source` are: that of the whole training set for one of its excerpts."""
    entry = _catalogue().get(source, {}).get(part, {})
    return original(entry["_ref"], part) if "_ref" in entry else source


def judgments_of(source: str) -> str:
    """The id that stands for the judgments of a query set, the same for each name that they go by."""
    found = original(source, "qrels")
    return original(ALSO_KNOWN_AS.get(found, found), "qrels")


@functools.cache
def _catalogue() -> dict[str, Any]:
    """{id: {part: {count: ...} or {_ref: id}}}; empty where the package or its file is not found."""
    package = importlib.util.find_spec("ir_datasets")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / "etc/metadata.json"
        if file.is_file():
            return json.loads(file.read_text(encoding="utf-8"))
    return {}
