"""What a collection holds before it is exported: counted where its files are here, else as its source tells."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import ir_datasets

from backfire.datasets.layout import corpus_files
from backfire.datasets.load import load_corpus, load_split
from backfire.datasets.pairs import ID_DIGITS, first_pairs
from backfire.datasets.records import count as count_records
from backfire.datasets.rows import count_rows
from backfire.datasets.sources import is_folder, is_hub, is_pairs, is_pydocs
from backfire.encoders.tokens import padded
from backfire.formats.tables import iterate_rows
from backfire.planning.work import PAIR_TOKENS, Sizes
from backfire.study.parts import TRAIN, Collection
from backfire.study.study import Study

# Passages read for a mean length and for the probe.
SAMPLE = 1000
# English prose in gzip or zip; MS MARCO's corpus is 2.9 times its download.
UNPACKED_BY_PACKED = 3.0
# Where not even the size of the download is known.
ASSUMED_TEXT_BYTES = 500.0


# WordPiece on English prose: bytes of a token, and the two tokens that frame a text.
TOKEN_BYTES, FRAME_TOKENS = 4.6, 2
QUERY_TOKENS = 10


@dataclass(frozen=True)
class Facts:
    """Counts of one collection; None where nothing tells. `sample` holds real passages where some are here.

    `text_bytes` is the mean length of a passage in UTF-8 and `id_bytes` that of an id; `queries` and `judgments` are
    counts by query set; `assumed` says in words what was not counted.
    """

    passages: int | None
    text_bytes: float
    id_bytes: float
    queries: dict[str, int | None]
    judgments: dict[str, int | None]
    sample: list[str] = field(default_factory=list, repr=False)
    assumed: list[str] = field(default_factory=list)

    @property
    def passage_tokens(self) -> float:
        """Mean tokens of a passage before it is cut, from its mean length in bytes."""
        return self.text_bytes / TOKEN_BYTES + FRAME_TOKENS


class Expected(Sizes):
    """A study as its collections' facts tell; what nobody tells counts nothing."""

    def __init__(self, study: Study, facts: dict[str, Facts]):
        super().__init__(study)
        self.facts = facts

    def passages(self, name: str) -> int:
        """Passages of a collection."""
        return self.facts[name].passages or 0

    def queries(self, name: str, query_set: str = TRAIN) -> int:
        """Queries of a set."""
        return self.facts[name].queries.get(query_set) or 0

    def ranked(self, name: str) -> int:
        """Queries that every run ranks the passages of a collection for."""
        return sum(self.queries(*place) for place in self.study.evaluations if place[0] == name)

    def passage_tokens(self, name: str, limit: int) -> float:
        """Of a passage of mean length."""
        return _padded(self.facts[name].passage_tokens, limit)

    def query_tokens(self, limit: int) -> float:
        """Of a query of `QUERY_TOKENS`."""
        return _padded(QUERY_TOKENS, limit)

    def pair_tokens(self, name: str, limit: int | None) -> float:
        """Of a passage of mean length and a query."""
        return _padded(self.facts[name].passage_tokens + QUERY_TOKENS, limit or PAIR_TOKENS)


def _padded(tokens: float, limit: int) -> float:
    """Mean tokens of a text with padding, of which half is filled on average."""
    return min(tokens + padded(1) / 2, padded(limit))


def all_facts(collections: dict[str, Collection], data: Path, packed: dict[str, int | None]) -> dict[str, Facts]:
    """Facts of every collection of a study, by name: of those that join others, the sum of theirs.

    `data` is the folder of their tables, `packed` the size of each one's downloads (see `collection_facts`).
    """
    found = {
        name: collection_facts(each, data / name, packed[name]) for name, each in collections.items() if not each.of
    }
    return {name: found[name] if name in found else _joined(each, found) for name, each in collections.items()}


def collection_facts(collection: Collection, tables: Path, packed: int | None = None) -> Facts:
    """Facts of a collection whose tables go, or have gone, to the folder `tables`.

    `packed` is the size in bytes of the downloads that hold its passages, None where it is unknown. A collection cut
    to `size` is expected to keep queries and judgments in proportion, which is exact where each query has one passage.
    """
    assumed: list[str] = []
    ids, sample = _exported(tables / "corpus")
    if is_pairs(collection.corpus) and not _unfetched(collection, tables):
        passages, ids, sample, queries = _paired(collection, tables)
        judgments = queries
        assumed.append("each pair of the file has a query and a passage of its own")
    elif is_hub(collection.corpus):
        passages, queries = None, dict.fromkeys(collection.query_sets)
        judgments = queries
    elif is_folder(collection.corpus) or is_pydocs(collection.corpus):
        passages, ids, sample = _read(collection.corpus)
        queries, judgments = _counted(collection)
    else:
        passages, queries, judgments = _told(collection)
    if passages is None:
        assumed.append("the number of passages is unknown: what depends on it is left out of every sum")
    unknown = [name for name, count in queries.items() if count is None]
    if unknown:
        assumed.append(f"the number of queries is unknown for {', '.join(unknown)}: they are left out")
    if sample:
        text_bytes = statistics.fmean(len(text.encode()) for text in sample)
    elif packed and passages:
        text_bytes = UNPACKED_BY_PACKED * packed / passages
        assumed.append(f"{text_bytes:.0f} bytes a passage, {UNPACKED_BY_PACKED:g} times the download")
    else:
        text_bytes = ASSUMED_TEXT_BYTES
        assumed.append(f"{text_bytes:.0f} bytes a passage")
    share = 1.0
    if passages and collection.size and collection.size < passages:
        share = collection.size / passages
        passages = collection.size
    return Facts(
        passages=passages,
        text_bytes=text_bytes,
        # Numbers, where no id is here to look at.
        id_bytes=statistics.fmean(map(len, ids)) if ids else float(len(str(passages or 10**7))),
        queries={name: _part(count, share) for name, count in queries.items()},
        judgments={name: _part(count, share) for name, count in judgments.items()},
        sample=sample,
        assumed=assumed,
    )


def _joined(collection: Collection, found: dict[str, Facts]) -> Facts:
    """Facts of a collection that joins others; a name in front of an id is some eight bytes more."""
    parts = [found[name] for name in collection.of]
    passages = _sum(each.passages for each in parts)
    weights = [each.passages or 1 for each in parts]
    share = min(1.0, collection.size / passages) if collection.size and passages else 1.0
    queries, judgments = (
        {
            name: _part(_sum(getattr(each, kind)[collection.source(name)] for each in parts), share)
            for name in collection.query_sets
        }
        for kind in ("queries", "judgments")
    )
    return Facts(
        passages=_part(passages, share),
        text_bytes=statistics.fmean((each.text_bytes for each in parts), weights),
        id_bytes=statistics.fmean((each.id_bytes for each in parts), weights) + 8,
        queries=queries,
        judgments=judgments,
        sample=[text for each in parts for text in each.sample][:SAMPLE],
        assumed=list(dict.fromkeys(line for each in parts for line in each.assumed)),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(known)


def _exported(folder: Path) -> tuple[list[str], list[str]]:
    """Ids and texts of some passages from the middle shard of tables that were written before."""
    shards = sorted(folder.glob("*-of-*.parquet"))
    if not shards:
        return [], []
    rows = next(iterate_rows(shards[len(shards) // 2], "corpus", SAMPLE))
    return rows["doc_id"].to_pylist(), rows["text"].to_pylist()


def _read(corpus: str) -> tuple[int, list[str], list[str]]:
    """Number of passages of a folder or of pydocs, ids and texts of some: evenly spaced for pydocs, else the first."""
    documents = load_corpus(corpus).docs_iter()
    if is_pydocs(corpus):
        documents = list(documents)
        count, some = len(documents), documents[:: max(1, len(documents) // SAMPLE)]
    else:
        count, some = sum(map(count_records, corpus_files(corpus))), list(islice(documents, SAMPLE))
    return count, [each.doc_id for each in some], [each.default_text() for each in some]


def _unfetched(collection: Collection, tables: Path) -> bool:
    return is_hub(collection.corpus) and not _pairs_at(collection, tables).is_dir()


def _pairs_at(collection: Collection, tables: Path) -> Path:
    """Where the pairs of a collection lie, whose tables go to the folder `tables`."""
    return tables / "hub/rows" if is_hub(collection.corpus) else Path(collection.corpus)


def _paired(collection: Collection, tables: Path) -> tuple[int, list[str], list[str], dict[str, int | None]]:
    """Rows of a file of pairs, ids and passages of the first, and queries by query set: at most one for each row."""
    source = str(_pairs_at(collection, tables))
    count = count_rows(source)
    sample = [pair.passage for pair in first_pairs(source, collection.columns, SAMPLE)]
    queries = {name: round(count * collection.share(name)) for name in collection.query_sets}
    return count, ["0" * ID_DIGITS], sample, queries


def _counted(collection: Collection) -> tuple[dict[str, int | None], dict[str, int | None]]:
    """Queries and judgments of a folder or of pydocs; at most a query for each judgment."""
    queries: dict[str, int | None] = {}
    judgments: dict[str, int | None] = {}
    for name in collection.query_sets:
        source = collection.source(name)
        if is_folder(collection.corpus):
            rows = [qrel.query_id for qrel in load_split(collection.corpus, source).qrels_iter()]
            queries[name], judgments[name] = len(set(rows)), len(rows)
        else:
            judgments[name] = queries[name] = sum(1 for _ in ir_datasets.load(source).qrels_iter())
    return queries, judgments


def _told(collection: Collection) -> tuple[int | None, dict[str, int | None], dict[str, int | None]]:
    """Counts that ir_datasets publishes for an id."""
    passages = _count(collection.corpus, "docs")
    queries: dict[str, int | None] = {}
    judgments: dict[str, int | None] = {}
    for name in collection.query_sets:
        source = collection.source(name)
        queries[name], judgments[name] = _count(source, "queries"), _count(source, "qrels")
        # Queries without a judgment are dropped; how many have one is not published.
        if None not in (queries[name], judgments[name]):
            queries[name] = min(queries[name], judgments[name])
    return passages, queries, judgments


def _count(source: str, part: str) -> int | None:
    return ir_datasets.load(source).metadata().get(part, {}).get("count")


def _part(count: int | None, share: float) -> int | None:
    return None if count is None else round(count * share)
