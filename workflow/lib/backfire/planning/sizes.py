"""Disk: how many bytes each stage of a study takes, from counts and settings. All formulas of sizes are here.

Lengths of rows were measured on files that Backfire wrote (Parquet with Snappy, 7-digit ids); a test holds the sums
against the files of a whole run.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from backfire.planning.facts import Expected, Facts
from backfire.planning.jobs import Jobs
from backfire.study.study import Study

# Bytes on disk for each byte of text in a Parquet table.
TABLE_BY_TEXT = 0.55
QUERY_TEXT_BYTES = 40
# Bytes of a row beside its ids.
JUDGMENT_ROW, CANDIDATE_ROW, TRIPLE_ROW, MEASURE_ROW, EMBEDDING_ROW = 3, 7, 12, 9, 5
DYNAMICS_ROW = 60
# A line of a TREC run without query id, doc id and tag: Q0, rank, score and blanks.
RUN_LINE = 21
FLOAT_BYTES = 4
# A checkpoint: weights that are trained and AdamW's two moments of each, and once more the weights where the best are
# kept. Files of a training at once: two are kept, a
# third is written (training/checkpoints.py; a test compares them).
CHECKPOINT, CHECKPOINT_FILES = 3, 3
# A token id, of a vocabulary that fits a dictionary.
TOKEN_ID = 1.9
# A table of few triples is all head.
TRIPLE_FILE = 3_000
# Ids that fit a dictionary below Parquet's limit are stored once in a file, and each row has their number in bits.
DICTIONARY_LIMIT = 1 << 20
# Figures, report, logs, tables of comparison, geometry and projection; BM25's table of words.
PAGES_BYTES, WORDS_BYTES = 8_000_000, 40_000_000


@dataclass(frozen=True)
class Stage:
    """What a stage leaves on disk: `bytes` in the files under `paths`; `place` is work, ir_datasets or tmp.

    `passing` are bytes under `passing_paths` that are deleted once the stage is done. Paths are folders or glob
    patterns.
    """

    name: str
    bytes: int
    paths: tuple[str, ...] = ()
    place: str = "work"
    passing: int = 0
    passing_paths: tuple[str, ...] = ()

    @property
    def peak(self) -> int:
        """Bytes while the stage runs."""
        return self.bytes + self.passing


def stages(expected: Expected, jobs: Iterable[Jobs], dimensions: int, model_bytes: int) -> list[Stage]:
    """What each stage leaves in data/ and results/, in the order of the study.

    `dimensions` is the length of the base's vectors, `model_bytes` the size of its folder. Collections of unknown
    size count nothing.
    """
    study, sizes = expected.study, _Sizes(expected, dimensions, model_bytes)
    results = f"results/{study.name}"
    kept: Counter[str] = Counter({"tables": sizes.queries(), "measures and report": sizes.closing()})
    passing: Counter[str] = Counter({"models": checkpoint_bytes(study, dimensions, model_bytes)})
    for each in jobs:
        if each.script in sizes.rules:
            stage, passes, size = sizes.rules[each.script]
            # What is tried of the protocol leaves its runs alone; tokens stand with all others.
            if each.tried:
                stage, passes = "protocol", each.script != "rank"
            (passing if passes else kept)[stage] += each.times * size(SimpleNamespace(**each.wildcards))
    places: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "tables": (tuple(f"data/{name}" for name in study.collections), ()),
        "models": ((f"{results}/models",), (f"{results}/checkpoints",)),
        "tokens": ((f"{results}/tokens",), ()),
        "embeddings": ((f"{results}/embeddings",), ()),
        "indexes": ((f"{results}/index",), ()),
        "negatives": ((f"{results}/negatives/*-*.parquet",), (f"{results}/negatives/parts",)),
        "triples": ((f"{results}/triples",), ()),
        "rankings": ((f"{results}/runs",), ()),
        "protocol": (
            (f"{results}/protocol/*/runs",),
            (f"{results}/protocol/*/embeddings", f"{results}/protocol/*/index"),
        ),
        "measures and report": (_closing_paths(results), ()),
    }
    return [
        Stage(name, round(kept[name]), paths, passing=round(passing[name]), passing_paths=passed)
        for name, (paths, passed) in places.items()
    ]


class _Sizes:
    """Bytes of what one job writes, by the script of its rule: the stage, whether it passes, and how many."""

    def __init__(self, expected: Expected, dimensions: int, model_bytes: int):
        self.expected, self.study, self.dimensions = expected, expected.study, dimensions
        self.rules: dict[str, tuple[str, bool, Callable[[Any], float]]] = {
            "export_corpus": ("tables", False, self._corpus),
            # What a job makes of files lies there a second time.
            "read_pairs": ("tables", False, self._corpus),
            "join_passages": ("tables", False, self._corpus),
            "prepare_base": ("models", False, lambda w: model_bytes),
            "train_variant": ("models", False, lambda w: model_bytes),
            "mix_weights": ("models", False, lambda w: model_bytes),
            "tokenize_corpus": ("tokens", False, self._tokens),
            "encode_corpus": ("embeddings", False, self._passage_vectors),
            "encode_queries": ("embeddings", False, self._query_vectors),
            "index_shard": ("indexes", False, self._index),
            "mine_bm25": ("negatives", True, self._part),
            "mine_hard": ("negatives", True, self._part),
            "merge_candidates": ("negatives", False, self._list),
            "sample_triples": ("triples", False, self._triples),
            "sample_published": ("triples", False, self._triples),
            "take_triples": ("triples", False, self._triples),
            **dict.fromkeys(
                ("rank", "rank_bm25", "fuse_runs", "rerank_run", "take_run"), ("rankings", False, self._run)
            ),
        }

    def _corpus(self, w: Any) -> float:
        return corpus_bytes(self.expected.facts[w.collection])

    def _rows(self, w: Any) -> float:
        """Passages of a shard."""
        return self.expected.passages(w.collection) / self.study.shards_of(w.collection)

    def _vectors(self, w: Any, rows: float) -> float:
        return rows * vector_bytes(self.expected.facts[w.collection], self.dimensions)

    def _passage_vectors(self, w: Any) -> float:
        return self._vectors(w, self._rows(w))

    def _query_vectors(self, w: Any) -> float:
        return self._vectors(w, self.expected.queries(w.collection, w.split))

    def _tokens(self, w: Any) -> float:
        return self._rows(w) * token_bytes(self.expected.facts[w.collection], int(w.max_length))

    def _index(self, w: Any) -> float:
        return self._rows(w) * index_bytes(self.dimensions, self.study.config["encoding"]["index"])

    def _candidates(self, parts: int, depth: int) -> float:
        where = self.study.train_on
        passages = self.expected.passages(where) // parts
        return _candidate_bytes(self.expected.facts[where], passages, self.expected.queries(where), depth)

    def _part(self, w: Any) -> float:
        return self._candidates(self.study.parts, int(w.depth))

    def _list(self, w: Any) -> float:
        return self._candidates(1, int(w.depth))

    def _triples(self, w: Any) -> float:
        row = TRIPLE_ROW + 3 * self.expected.facts[self.study.train_on].id_bytes
        return TRIPLE_FILE + row * self.study.triples[w.triples].negatives_per_query * self.expected.examples(w.triples)

    def _run(self, w: Any) -> float:
        queries, tag = self.expected.queries(w.collection, w.split), f"{getattr(w, 'variant', 'base')}-seed-0"
        return run_bytes(self.study, self.expected.facts[w.collection], queries, len(tag))

    def queries(self) -> float:
        """Bytes of the tables of queries and judgments, all of which are exported."""
        total = 0.0
        for each in self.expected.facts.values():
            total += sum(count or 0 for count in each.queries.values()) * (QUERY_TEXT_BYTES + each.id_bytes)
            total += sum(count or 0 for count in each.judgments.values()) * (2 * each.id_bytes + JUDGMENT_ROW)
        return total

    def closing(self) -> float:
        """Bytes of what is measured, each run's own table and the one of all, of the curves, and of the pages."""
        values = sum(map(self.expected.ranked, self.expected.facts)) * len(self.study.config["measures"])
        steps = sum(self.expected.course(name).steps for name, _ in self.study.trained_runs)
        return 2 * len(self.study.runs) * values * MEASURE_ROW + DYNAMICS_ROW * steps + PAGES_BYTES


def corpus_bytes(facts: Facts) -> float:
    """Bytes of a corpus as tables of ids and texts."""
    return (facts.passages or 0) * (TABLE_BY_TEXT * facts.text_bytes + facts.id_bytes)


def token_bytes(facts: Facts, max_length: int) -> float:
    """Bytes of one passage's row of token ids."""
    return TOKEN_ID * min(facts.passage_tokens, max_length) + facts.id_bytes


def vector_bytes(facts: Facts, dimensions: int) -> float:
    """Bytes of one passage's row of embeddings: fp32 values, the norm that they had, and the id."""
    return FLOAT_BYTES * (dimensions + 1) + facts.id_bytes + EMBEDDING_ROW


def index_bytes(dimensions: int, factory: str) -> float:
    """Bytes of a passage in an index: its fp32 vector, for HNSW also two links of 4 bytes for each of its M.

    Of indexes that compress, this is more than they take.
    """
    kind = factory.partition(";")[0].partition(",")[0].strip()
    links = 8 * int(kind[4:]) if kind[:4] == "HNSW" and kind[4:].isdigit() else 0
    return FLOAT_BYTES * dimensions + links


def checkpoint_bytes(study: Study, dimensions: int, model_bytes: int) -> float:
    """Bytes of checkpoints when all variants and seeds train at once, at most; trainings of minutes write none.

    How many train at a time is up to the machines. Of a matrix of d x d weights an adapter of rank r has 2 r d, less of
    a longer one, and `dimensions` stands for d.
    """
    total = 0.0
    for name, _ in study.trained_runs:
        adapter = study.variants[name].settings.get("lora")
        rank = max([adapter["rank"], *adapter.get("rank_pattern", {}).values()]) if adapter else dimensions
        trained = min(1.0, 2 * rank / dimensions)
        total += (CHECKPOINT + study.variants[name].keeps_best) * CHECKPOINT_FILES * trained * model_bytes
    return total


def _candidate_bytes(facts: Facts, passages: int, queries: int, depth: int) -> float:
    """Bytes of one file with the `depth` best of `passages` for each query."""
    ids = passages * facts.id_bytes
    row = passages.bit_length() / 8 if ids < DICTIONARY_LIMIT else facts.id_bytes
    return TABLE_BY_TEXT * min(ids, DICTIONARY_LIMIT) + queries * min(depth, passages) * (CANDIDATE_ROW + row)


def run_bytes(study: Study, facts: Facts, queries: int, tag: int) -> float:
    """Bytes of a TREC run of `queries` with a tag of that many characters."""
    depth = min(study.config["ranking"]["depth"], facts.passages or 0)
    return queries * depth * (RUN_LINE + 2 * facts.id_bytes + tag)


def _closing_paths(results: str) -> tuple[str, ...]:
    folders = ("measures", "dynamics", "cost", "geometry", "figures", "logs", "benchmarks")
    return (*(f"{results}/{name}" for name in folders), f"{results}/*", f"{results}/negatives/terms.parquet")
