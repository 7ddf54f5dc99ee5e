"""How many passages and queries there are, as far as it can be told while the DAG is built.

The first source that tells wins: the tables' manifests, the plan, the counts that `ir_datasets` publishes in a file of
its package (read here without loading it), the bytes of a folder's files. What none tells is `ASSUMED`.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import functools
from pathlib import Path
from typing import Any

from backfire.datasets.catalogue import published_count
from backfire.datasets.layout import corpus_files, qrels_files
from backfire.datasets.sources import is_folder, is_hub, is_pairs, is_pydocs, pairs_files
from backfire.formats.atomic import read_json
from backfire.planning.lines import estimated_lines
from backfire.planning.work import PAIR_TOKENS, Sizes
from backfire.study.parts import TRAIN, Collection
from backfire.study.study import Study

# Passages, and training queries, where nothing tells. pydocs has some 27,000 passages.
ASSUMED = 1_000_000
# Bytes of a line of corpus.jsonl and of qrels/*.tsv, on the short side.
PASSAGE_LINE, JUDGMENT_LINE = 250, 20


class Counts(Sizes):
    """Counts of a study's collections whose tables are, or will be, under `root`/data."""

    def __init__(self, study: Study, root: Path | None = None):
        super().__init__(study)
        self.root = root or Path()

    def passages(self, name: str) -> int:
        """Passages of a collection: counted, or the most that are expected."""
        collection = self.study.collections[name]
        counted = _entry(self.root / "data" / name / "corpus/manifest.json", "kept") or self._planned(name, "passages")
        if counted:
            return counted
        whole = self._whole(collection)
        return min(whole, collection.size) if collection.size and whole else whole or collection.size or ASSUMED

    def source(self, name: str) -> int:
        """Passages that are read for a collection, before it is cut to `size`."""
        return self._whole(self.study.collections[name]) or self.passages(name)

    def queries(self, name: str, query_set: str = TRAIN) -> int:
        """Queries of a set: counted, or the most that are expected; 0 where the collection has no such set."""
        collection = self.study.collections[name]
        if query_set not in collection.query_sets:
            return 0
        manifest = self.root / "data" / name / f"queries/{query_set}.json"
        counted = _entry(manifest, "queries", "kept") or self._planned(name, "queries", query_set)
        if counted:
            return counted
        source, passages, whole = collection.source(query_set), self.passages(name), self._whole(collection)
        if collection.of:
            told = sum(self.queries(part, source) for part in collection.of)
            return round(told * min(1, passages / whole))
        if is_pydocs(source):
            return passages
        if is_pairs(collection.corpus):
            return round(passages * collection.share(query_set))
        told = (
            estimated_lines(lambda: qrels_files(collection.corpus, source), JUDGMENT_LINE)
            if is_folder(collection.corpus)
            else _published_queries(source)
        )
        if told is None:
            return min(ASSUMED, passages)
        # A collection cut to `size` keeps the queries of what is left, as the plan expects.
        return round(told * min(1, passages / whole)) if whole else told

    def passage_tokens(self, name: str, limit: int) -> float:
        """As many as are read."""
        return limit

    def query_tokens(self, limit: int) -> float:
        """Two blocks of padding: assumed."""
        return min(32, limit)

    def pair_tokens(self, name: str, limit: int | None) -> float:
        """As many as are read."""
        return limit or PAIR_TOKENS

    def _whole(self, collection: Collection) -> int | None:
        """Passages of a collection before it is cut to `size`."""
        return sum(map(self.passages, collection.of)) if collection.of else _whole(collection)

    def _planned(self, name: str, *keys: str) -> int | None:
        return _entry(self.root / f"results/{self.study.name}/plan.json", "collections", name, *keys)


def _entry(file: Path, *keys: str) -> Any:
    """A value deep in a JSON file, None where the file or the key is missing."""
    if not file.is_file():
        return None
    value = _read(file, file.stat().st_mtime_ns)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@functools.lru_cache(64)
def _read(file: Path, changed: int) -> Any:
    return read_json(file)


def _whole(collection: Collection) -> int | None:
    """Passages of a collection of a source of its own, before it is cut to `size`."""
    if is_hub(collection.corpus):
        return None
    if is_pairs(collection.corpus):
        return estimated_lines(lambda: pairs_files(collection.corpus), PASSAGE_LINE)
    if is_folder(collection.corpus):
        return estimated_lines(lambda: corpus_files(collection.corpus), PASSAGE_LINE)
    return published_count(collection.corpus, "docs")


def _published_queries(source: str) -> int | None:
    """Queries of an id; how many are judged is not published, but there are no more than judgments."""
    known = [
        count for count in (published_count(source, "queries"), published_count(source, "qrels")) if count is not None
    ]
    return min(known, default=None)
