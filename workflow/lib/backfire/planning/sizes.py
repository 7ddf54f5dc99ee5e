"""Disk: how many bytes each stage of a study takes, from counts and settings. All formulas of sizes are here.

Lengths of rows were measured on files that Backfire wrote (Parquet with Snappy, 7-digit ids); a test holds the sums
against the files of a whole run.
"""

from dataclasses import dataclass

from backfire.datasets.sources import is_made
from backfire.planning.counts import examples
from backfire.planning.facts import Facts
from backfire.study.parts import TRAIN
from backfire.study.study import Study
from backfire.study.triples import Searched
from backfire.study.variants import Course

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


def stages(study: Study, facts: dict[str, Facts], dimensions: int, model_bytes: int) -> list[Stage]:
    """What each stage leaves in data/ and results/, in the order of the study.

    `dimensions` is the length of the base's vectors, `model_bytes` the size of its folder. Collections of unknown
    size count nothing.
    """
    results = f"results/{study.name}"
    data = tuple(f"data/{name}" for name in study.collections)
    mined, merging = mining_bytes(study, facts)
    tried, trying = _protocol(study, facts, dimensions)
    return [
        Stage("tables", _tables(study, facts), data),
        Stage(
            "models",
            len(study.embedded_runs) * model_bytes,
            (f"{results}/models",),
            passing=round(checkpoint_bytes(study, dimensions, model_bytes)),
            passing_paths=(f"{results}/checkpoints",),
        ),
        Stage("tokens", _tokens(study, facts), (f"{results}/tokens",)),
        Stage("embeddings", _vectors(study, facts, dimensions, queries=True), (f"{results}/embeddings",)),
        Stage("indexes", _vectors(study, facts, dimensions, queries=False), (f"{results}/index",)),
        Stage(
            "negatives",
            round(mined),
            (f"{results}/negatives/*-*.parquet",),
            passing=round(merging),
            passing_paths=(f"{results}/negatives/parts",),
        ),
        Stage("triples", _triples(study, facts), (f"{results}/triples",)),
        Stage("rankings", _runs(study, facts), (f"{results}/runs",)),
        Stage(
            "protocol",
            round(tried),
            (f"{results}/protocol/*/runs",),
            passing=round(trying),
            passing_paths=(f"{results}/protocol/*/embeddings", f"{results}/protocol/*/index"),
        ),
        Stage("measures and report", _closing(study, facts), _closing_paths(results)),
    ]


def corpus_bytes(facts: Facts) -> float:
    """Bytes of a corpus as tables of ids and texts."""
    return (facts.passages or 0) * (TABLE_BY_TEXT * facts.text_bytes + facts.id_bytes)


def token_bytes(facts: Facts, max_length: int) -> float:
    """Bytes of one passage's row of token ids."""
    return TOKEN_ID * min(facts.passage_tokens, max_length) + facts.id_bytes


def vector_bytes(facts: Facts, dimensions: int) -> float:
    """Bytes of one passage's row of embeddings: fp32 values and the id."""
    return FLOAT_BYTES * dimensions + facts.id_bytes + EMBEDDING_ROW


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


def ranked_queries(study: Study, facts: dict[str, Facts], collection: str) -> int:
    """Queries of a collection that every run ranks its passages for."""
    return sum(facts[name].queries[split] or 0 for name, split in study.evaluations if name == collection)


def training_queries(study: Study, facts: dict[str, Facts]) -> int:
    """Training queries, 0 where the study has none."""
    return facts[study.train_on].queries.get(TRAIN) or 0


def triple_count(study: Study, facts: dict[str, Facts], name: str) -> int:
    """Examples of a set."""
    return examples(study.triples[name], training_queries(study, facts))


def mining_bytes(study: Study, facts: dict[str, Facts]) -> tuple[float, float]:
    """Bytes of all candidate lists, and of the parts that they are merged from, which are deleted afterwards."""
    used = {study.variants[name].triples for name in study.trained}
    lists = {
        (each.negatives, each.depth)
        for name, each in study.triples.items()
        if name in used and isinstance(each, Searched)
    }
    corpus, queries = facts[study.train_on], training_queries(study, facts)
    passages = corpus.passages or 0
    whole = sum(_candidate_bytes(corpus, passages, queries, depth) for _, depth in lists)
    share = passages // study.parts
    parts = sum(study.parts * _candidate_bytes(corpus, share, queries, depth) for _, depth in lists)
    return whole, parts


def _candidate_bytes(facts: Facts, passages: int, queries: int, depth: int) -> float:
    """Bytes of one file with the `depth` best of `passages` for each query."""
    ids = passages * facts.id_bytes
    row = passages.bit_length() / 8 if ids < DICTIONARY_LIMIT else facts.id_bytes
    return TABLE_BY_TEXT * min(ids, DICTIONARY_LIMIT) + queries * min(depth, passages) * (CANDIDATE_ROW + row)


def _tables(study: Study, facts: dict[str, Facts]) -> int:
    total = 0.0
    for name, each in facts.items():
        # What a job makes lies there a second time.
        total += corpus_bytes(each) * (2 if is_made(study.collections[name].corpus) else 1)
        total += sum(count or 0 for count in each.queries.values()) * (QUERY_TEXT_BYTES + each.id_bytes)
        total += sum(count or 0 for count in each.judgments.values()) * (2 * each.id_bytes + JUDGMENT_ROW)
        if study.protocol[0] == name:
            total += sum(choice.factor == "text" for choice in study.choices.values()) * corpus_bytes(each)
    return round(total)


def _tokens(study: Study, facts: dict[str, Facts]) -> int:
    """Token ids of every collection as the study cuts them, by the tokenizer of each model that is taken as it is, and
    of each other text and length that is tried."""
    limit = study.config["encoding"]["max_length"]
    total = sum((each.passages or 0) * token_bytes(each, limit) for each in facts.values()) * len(study.taken_models)
    here, tried = facts[study.protocol[0]], [study.chosen(name) for name in study.choices]
    lengths = {(choice["text"], choice["max_length"]) for choice in tried}
    lengths -= {(study.own_choices["text"], limit)}
    return round(total + sum((here.passages or 0) * token_bytes(here, length) for _, length in lengths))


def _vectors(study: Study, facts: dict[str, Facts], dimensions: int, queries: bool) -> int:
    """Embeddings (`queries` too) or indexes of every run; the base encodes the training queries once."""
    if not queries:
        row = index_bytes(dimensions, study.config["encoding"]["index"])
        return round(row * sum(len(study.encoding(name)) * (each.passages or 0) for name, each in facts.items()))
    total = training_queries(study, facts) * vector_bytes(facts[study.train_on], dimensions) if study.trained else 0.0
    for name, each in facts.items():
        rows = (each.passages or 0) + ranked_queries(study, facts, name)
        total += len(study.encoding(name)) * rows * vector_bytes(each, dimensions)
    return round(total)


def _triples(study: Study, facts: dict[str, Facts]) -> int:
    used = {study.variants[name].triples for name in study.trained}
    row = TRIPLE_ROW + 3 * facts[study.train_on].id_bytes
    rows = {name: study.triples[name].negatives_per_query * triple_count(study, facts, name) for name in used}
    return round(len(study.seeds) * sum(TRIPLE_FILE + row * count for count in rows.values()))


def run_bytes(study: Study, facts: Facts, queries: int, tag: int) -> float:
    """Bytes of a TREC run of `queries` with a tag of that many characters."""
    depth = min(study.config["ranking"]["depth"], facts.passages or 0)
    return queries * depth * (RUN_LINE + 2 * facts.id_bytes + tag)


def _runs(study: Study, facts: dict[str, Facts]) -> int:
    return round(
        sum(
            run_bytes(study, each, ranked_queries(study, facts, name), len(f"{variant}-seed-{seed}"))
            for name, each in facts.items()
            for variant, seed in study.runs
        )
    )


def _protocol(study: Study, facts: dict[str, Facts], dimensions: int) -> tuple[float, float]:
    """Bytes of the runs of the base under other protocols, and of the vectors and indexes that they need meanwhile."""
    collection, split = study.protocol
    each = facts[collection]
    queries = each.queries[split] or 0
    row = vector_bytes(each, dimensions) + index_bytes(dimensions, study.config["encoding"]["index"])
    count = len(study.choices)
    # And one without passages of the query's own id, from the vectors that are there.
    runs = count + (study.config["protocol"] is not None)
    return runs * run_bytes(study, each, queries, len("base-seed-0")), count * ((each.passages or 0) + queries) * row


def _closing(study: Study, facts: dict[str, Facts]) -> int:
    values = sum(ranked_queries(study, facts, name) for name in facts) * len(study.config["measures"])
    # Each run's own table, and the one of all runs.
    measured = 2 * len(study.runs) * values * MEASURE_ROW
    return round(
        measured + DYNAMICS_ROW * sum(training_steps(study, facts, name) for name, _ in study.trained_runs)
    ) + (PAGES_BYTES)


def training_steps(study: Study, facts: dict[str, Facts], variant: str) -> int:
    """Optimiser steps of one seed of a variant."""
    return course(study, facts, variant).steps


def course(study: Study, facts: dict[str, Facts], variant: str) -> Course:
    """How long one seed of a variant trains."""
    trained = study.variants[variant]
    return trained.course(triple_count(study, facts, trained.triples))


def _closing_paths(results: str) -> tuple[str, ...]:
    folders = ("measures", "dynamics", "cost", "geometry", "figures", "logs", "benchmarks")
    return (*(f"{results}/{name}" for name in folders), f"{results}/*", f"{results}/negatives/terms.parquet")
