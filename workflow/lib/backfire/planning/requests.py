"""What a job asks a cluster for: memory and time, from the size of its part of the study.

Memory is the sum of what the job holds, each term from the tables of docs/scale.md (that page names its machine) or
from the logs of the default study, times `MARGIN`; time is processor time from the same tables times `SLACK`. A
retried job asks for `attempt` times as much.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from backfire.datasets.sources import is_hub, pairs_files, pairs_source
from backfire.encoders.folders import find_base
from backfire.errors import BackfireError
from backfire.planning import measured
from backfire.planning.counts import Counts
from backfire.planning.measured import MIB
from backfire.planning.work import Work
from backfire.study.study import Study
from backfire.study.triples import Published, Searched
from backfire.study.variants import BASE


class Request(NamedTuple):
    """Memory in MiB and time in minutes."""

    mem_mb: int
    runtime: int


@dataclass(frozen=True)
class Shape:
    """A model: MiB of its weights, layers, and the length of its vectors."""

    mib: float
    layers: int
    dimensions: int


# BERT-base, where the base is not on this machine yet.
ASSUMED_MODEL = Shape(420, 12, 768)


class Requests:
    """Requests of a study's jobs; `gpu` says whether models run on one, `threads` what a job of a model takes."""

    def __init__(self, study: Study, gpu: bool, threads: int, root: Path | None = None):
        self.study, self.gpu, self.threads = study, gpu, threads
        self.counts, self.root = Counts(study, root), root or Path()
        self._shapes: dict[str, Shape] = {}
        self.depth: int = study.config["ranking"]["depth"]
        self.length: int = study.config["encoding"]["max_length"]
        self._rules: dict[str, Callable[[Any], tuple[float, float]]] = {
            "read_pairs": self._pairs,
            "join_passages": self._corpus,
            "join_queries": self._queries,
            "export_corpus": self._corpus,
            "export_queries": self._queries,
            "tokenize_corpus": self._tokens,
            "encode_corpus": self._passages,
            "encode_queries": self._encoded_queries,
            "measure_latency": self._latency,
            "index_shard": lambda w: (
                measured.LIGHT + 3 * self._shard(w.collection, w.variant),
                20e-6 * self._taken(w.collection),
            ),
            "rank": self._ranking,
            "count_terms": lambda w: self._terms(study.train_on),
            "count_words": lambda w: self._terms(w.collection),
            "rank_bm25": self._ranked_words,
            "fuse_runs": lambda w: self._measured(len(study.variants[w.variant].parents)),
            "rerank_run": self._reranked,
            # 1 GB for seven million lines of six columns: assumed.
            "take_run": lambda w: (600 + 400 * self.counts.queries(w.collection, w.split) * self.depth / MIB, 300),
            "mine_bm25": self._mined_words,
            "mine_hard": self._mined_vectors,
            "merge_candidates": self._merged,
            "sample_triples": self._sampled,
            "sample_published": self._sampled,
            "take_triples": self._listed,
            "score_teacher": self._taught,
            "judge_exchanges": self._judged,
            # Both candidates of a training, with gradients.
            "settle_arithmetic": lambda w: (
                measured.TORCH + 6 * self.shape(BASE).mib + (measured.CUDA_HOST if self.gpu else 0),
                120,
            ),
            "train_variant": self._training,
            # Two models at a time, and the sum in double precision. Loading takes seconds.
            "mix_weights": lambda w: (measured.TORCH + 8 * self.shape(w.variant).mib, 120 * len(study.compared)),
            "examine_triples": self._examined,
            # One model after another, and some hundred examples.
            "look_ahead": lambda w: (measured.TORCH + 4 * self.largest.mib + 500, 60 * (1 + len(study.trained))),
            "forecast_study": self._foreseen,
            "explain_queries": lambda w: self._measured(len(study.compared)),
            "compare_protocols": lambda w: self._measured(4 + len(study.choices)),
            "compare_variants": lambda w: (1500, 120 * len(study.runs) * len(study.evaluations)),
            # Two intervals for each variant and the rest of the table, of one measure.
            "attribute_ladder": lambda w: (1500, 60 * len(study.ladder_runs) * len(study.evaluations)),
            "measure_doses": lambda w: (1500, 60 * sum(map(len, study.doses)) * len(study.evaluations)),
            "measure_geometry": self._geometry,
            "project_embeddings": self._projection,
        }

    @property
    def rules(self) -> list[str]:
        """Names of the rules whose requests depend on the study."""
        return list(self._rules)

    def of(self, rule: str, wildcards: Any, attempt: int = 1) -> Request:
        """Request of a job of `rule` with those wildcards, the `attempt`-th time that it is started."""
        mib, seconds = self._rules[rule](wildcards)
        minutes = measured.LEAST + measured.SLACK * seconds / 60
        return Request(attempt * _round(measured.MARGIN * mib + measured.ENGINE, 100), attempt * _round(minutes, 10))

    def shape(self, variant: str = BASE) -> Shape:
        """The model that a variant descends from, as far as it is on this machine, else `ASSUMED_MODEL`."""
        origin = self.study.origin(variant)
        if origin not in self._shapes:
            source = self.study.source_of(origin)
            try:
                here = find_base(source["name"], source["where"])
            except BackfireError:  # Told by the job that needs it.
                here = None
            prepared = self.root / f"results/{self.study.name}/models/{origin}/seed-0"
            there = (folder for folder in (here, prepared) if folder and any(folder.rglob("*.safetensors")))
            found = next(map(_shape, there), None)
            if found is None:
                return ASSUMED_MODEL
            self._shapes[origin] = found
        return self._shapes[origin]

    @property
    def largest(self) -> Shape:
        """The model with the longest vectors."""
        return max((self.shape(name) for name in self.study.embedded), key=lambda shape: shape.dimensions)

    def _seconds(self, work: Work, pair: float = measured.RANKED) -> float:
        """Processor seconds of some work on the threads of a job, or on its GPU; `pair` for a query and a passage."""
        shape = self.shape(work.model) if work.model else ASSUMED_MODEL
        slower = max(1.0, shape.mib / measured.MINILM_MIB)
        encoded, trained = (
            (measured.ENCODED_GPU, measured.TRAINED_GPU)
            if self.gpu
            else (measured.ENCODED * self.threads, measured.TRAINED * self.threads)
        )
        model = work.tokens / encoded + work.steps * work.step_tokens / trained
        return slower * model + pair * work.pairs / self.threads

    def _model(self, variant: str) -> float:
        """MiB of a job that loads the model twice, as merging does; CUDA's share where there is a GPU."""
        return measured.TORCH + 2 * self.shape(variant).mib + (measured.CUDA_HOST if self.gpu else 0)

    def _latency(self, w: Any) -> tuple[float, float]:
        # Each of them, and that of an adapter beside its weights, and one that is being loaded.
        names = [name for name, _ in self.study.first_embedded]
        held = [self.shape(name) for name in names for _ in range(1 + self.study.variants[name].adapted)]
        settings, slower = (
            self.study.config["latency"],
            sum(max(1.0, shape.mib / measured.MINILM_MIB) for shape in held),
        )
        # Queries of 32 tokens: assumed.
        texts = settings["queries"] + sum(size * (settings["rounds"] + 2) for size in settings["batches"] if size > 1)
        seconds = slower * (10 + 32 * texts / (measured.ENCODED_GPU if self.gpu else measured.ENCODED * self.threads))
        mib = (
            measured.TORCH
            + sum(shape.mib for shape in held)
            + self.largest.mib
            + (measured.CUDA_HOST if self.gpu else 0)
        )
        return mib, seconds

    def _vectors(self, count: int, variant: str | None = None) -> float:
        """MiB of so many vectors of a variant, or of the one with the longest."""
        shape = self.largest if variant is None else self.shape(variant)
        return count * shape.dimensions * 4 / MIB

    def _shard(self, collection: str, variant: str | None = None) -> float:
        return self._vectors(self.counts.shard(collection), variant)

    def _taken(self, collection: str) -> int:
        """Passages of all shards that one job takes, of which it holds one at a time."""
        return self.counts.shard(collection) * self.study.taken(collection)

    def _pairs(self, w: Any) -> tuple[float, float]:
        # Texts, word triples and judgments take some ten times the file (docs/pairs.md), packed to a third or not.
        corpus = self.study.collections[w.collection].corpus
        fetched = (self.root / pairs_source(w.collection, corpus)).rglob("*") if is_hub(corpus) else ()
        files = [*pairs_files(corpus), *(file for file in fetched if file.is_file())]
        # A data set of the hub that is not here yet: assumed.
        mib = sum(Path(file).stat().st_size for file in files) / MIB if files else measured.ASSUMED_PAIRS_MIB
        return 500 + 30 * mib, 60 + 10 * mib

    def _corpus(self, w: Any) -> tuple[float, float]:
        # Twice 8 bytes a passage for keys of ids; ir_datasets' readers.
        passages = self.counts.source(w.collection)
        return 500 + 16 * passages / MIB, measured.TABLES * passages / 1e6

    def _queries(self, w: Any) -> tuple[float, float]:
        queries = self.counts.queries(w.collection, w.split)
        return 500 + 1000 * queries / MIB, measured.TABLES * self.counts.passages(w.collection) / 1e6

    def _tokens(self, w: Any) -> tuple[float, float]:
        return measured.LIGHT + 4 * self.counts.shard(w.collection) * self.length / MIB, self._taken(
            w.collection
        ) / 1000

    def _passages(self, w: Any) -> tuple[float, float]:
        # 32,768 texts and their vectors at a time; a shard of short texts counts full length.
        held = self._vectors(1 << 15, w.variant) + 8 * (1 << 15) * self.length / MIB
        seconds = self.study.taken(w.collection) * self._seconds(self.counts.work("encode_corpus", w))
        return self._model(w.variant) + held, seconds

    def _encoded_queries(self, w: Any) -> tuple[float, float]:
        queries = self.counts.queries(w.collection, w.split)
        held = self._vectors(queries, w.variant) + 300 * queries / MIB
        return self._model(w.variant) + held, self._seconds(self.counts.work("encode_queries", w))

    def _search(self, collection: str, queries: int, held: int, ids: int) -> float:
        """MiB of a search: a shard's vectors and index, a block of scores for each thread, and what is found."""
        scores = self.threads * measured.QUERY_BLOCK * measured.PASSAGE_BLOCK * 4 / MIB
        found = (held * measured.CANDIDATE + ids * measured.DOC_ID) / MIB
        return measured.LIGHT + 2 * self._shard(collection) + self._vectors(queries) + scores + found

    def _ranking(self, w: Any) -> tuple[float, float]:
        queries, passages = self.counts.queries(w.collection, w.split), self.counts.passages(w.collection)
        hits = queries * self.depth
        mib = self._search(w.collection, queries, hits, min(hits, passages))
        return mib, self._seconds(self.counts.work("rank", w))

    def _mined_vectors(self, w: Any) -> tuple[float, float]:
        queries, passages = self._training_size
        part, block = -(-passages // self.study.parts), min(queries, measured.HELD // int(w.depth))
        mib = self._search(self.study.train_on, block, block * int(w.depth), min(part, queries * int(w.depth)))
        mib += measured.TORCH + measured.CUDA_HOST if self.gpu else 0
        # The processor's time also with a GPU, which shortens the products alone, by how much was not measured.
        return mib, self._seconds(self.counts.work("mine_hard", w), measured.MINED)

    def _mined_words(self, w: Any) -> tuple[float, float]:
        queries, passages = self._training_size
        mib, seconds = self._words(self.study.train_on, queries, int(w.depth))
        return mib, seconds * passages / self.study.parts

    def _ranked_words(self, w: Any) -> tuple[float, float]:
        mib, seconds = self._words(w.collection, self.counts.queries(w.collection, w.split), self.depth)
        return mib, seconds * self.counts.passages(w.collection)

    def _words(self, collection: str, queries: int, depth: int) -> tuple[float, float]:
        """MiB of a search by words, and seconds for each passage: 99 s for 10,000 queries and a million passages."""
        held = min(measured.HELD, queries * depth) * measured.CANDIDATE + 500 * self.counts.shard(collection)
        return measured.LIGHT + self._vocabulary(collection) + held / MIB, 10e-9 * queries

    def _reranked(self, w: Any) -> tuple[float, float]:
        settings, queries = self.study.variants[w.variant].settings, self.counts.queries(w.collection, w.split)
        each = min(settings["depth"], self.depth) * measured.RERANKED_TEXT + self.depth * measured.RERANKED_HIT
        held = min(queries, measured.RERANKED_QUERIES) * each / MIB
        # Of a size that is not known here.
        mib = measured.TORCH + 2 * ASSUMED_MODEL.mib + (measured.CUDA_HOST if self.gpu else 0) + held
        return mib, self._seconds(self.counts.work("rerank_run", w))

    def _terms(self, collection: str) -> tuple[float, float]:
        return measured.LIGHT + self._vocabulary(collection), 82 * self.counts.passages(collection) / 1e6

    def _vocabulary(self, collection: str) -> float:
        return 2 * measured.WORD * measured.WORDS * (self.counts.passages(collection) / 1e6) ** measured.HEAPS / MIB

    def _merged(self, w: Any) -> tuple[float, float]:
        # A piece of each part: 349 MiB with 8 of them, 228 with one. 20 s for 32 million rows.
        rows = self._training_size[0] * int(w.depth) * self.study.parts
        return measured.LIGHT + 20 * self.study.parts, 20 * rows / 32e6

    def _sampled(self, w: Any) -> tuple[float, float]:
        queries, passages = self._training_size
        triples = self.study.triples[w.triples]
        count = self.counts.examples(w.triples)
        listed = queries * triples.depth if isinstance(triples, Searched) else 0
        more = triples.negatives_per_query - 1
        kept = measured.SAMPLED_QUERY * queries + measured.SAMPLED_NEGATIVE * more * max(queries, count)
        # Scores of positives, and counts of what was dropped, by query: assumed.
        kept += measured.SAMPLED_NEGATIVE * queries if triples.filter else 0
        mib = measured.LIGHT + self._vectors(queries) + (kept + 12 * passages + 48 * count) / MIB + 300
        # 10 s for 2 million candidates, 7 s to look for queries among a million passages; a published list, of some 40
        # million lines, is read once.
        return mib, 5e-6 * listed + 7e-6 * passages + (600 if isinstance(triples, Published) else 60)

    def _listed(self, w: Any) -> tuple[float, float]:
        queries, passages = self._training_size
        triples = self.study.triples[w.triples]
        rows = triples.negatives_per_query * self.counts.examples(w.triples)
        # 1.9 us a passage and its key, and 30 us for a triple, of 400 bytes.
        mib = (
            measured.LIGHT
            + self._vectors(queries)
            + (measured.SAMPLED_QUERY * queries + 12 * passages + 400 * rows) / MIB
            + 300
        )
        return mib, 2e-5 * passages + 3e-5 * rows + 60

    def _examined(self, w: Any) -> tuple[float, float]:
        # Ids of one set after another, and texts of the queries that are looked at.
        sizes = [(self.study.triples[name].texts, self.counts.examples(name)) for name in self.study.used]
        rows = max((texts - 2) * count for texts, count in sizes)
        looked = max(texts * count for texts, count in sizes) * min(
            1.0, measured.EXAMINED / max(1, self._training_size[0])
        )
        mib = measured.LIGHT + self._vectors(self._training_size[0]) + self._shard(self.study.train_on)
        # Texts with their runs of words: 6.3 KB for one of 55 words.
        mib += 300 + (400 * rows + 8000 * looked) / MIB
        return mib, len(sizes) * (60 + 1e-5 * rows + 2e-5 * self._training_size[1])

    def _foreseen(self, w: Any) -> tuple[float, float]:
        # Texts of the training queries with their runs of words, and of the positives of one set after another; ids of
        # its examples.
        study, queries = self.study, self._training_size[0]
        rows = max((self.counts.examples(name) for name in study.used), default=0)
        mib = measured.LIGHT + 300 + (2000 * queries + 1500 * min(rows, queries) + 600 * rows) / MIB
        return mib, 60 + len(study.used) * (2e-5 * self._training_size[1] + 1e-5 * rows) + 1e-3 * queries

    def _taught(self, w: Any) -> tuple[float, float]:
        triples = self.study.triples[w.triples]
        texts = triples.texts * self.counts.examples(w.triples)
        mib = measured.TORCH + 2 * ASSUMED_MODEL.mib + (measured.CUDA_HOST if self.gpu else 0)
        mib += measured.TRIPLE_TEXTS * texts / 3 / MIB + texts * ASSUMED_MODEL.dimensions * 4 / MIB
        return mib, self._seconds(self.counts.work("score_teacher", w))

    def _judged(self, w: Any) -> tuple[float, float]:
        work = self.counts.work("judge_exchanges", w)
        texts = 2 * self.counts.exchanges
        mib = measured.TORCH + 2 * ASSUMED_MODEL.mib + (measured.CUDA_HOST if self.gpu else 0)
        mib += (measured.RERANKED_TEXT + measured.RERANKED_HIT + 4 * ASSUMED_MODEL.dimensions) * texts / MIB
        # Passages are looked for in the whole corpus.
        return mib, self._seconds(work) + 2e-5 * self.counts.passages(self.study.primary[0])

    def _training(self, w: Any) -> tuple[float, float]:
        variant = self.study.variants[w.variant]
        settings, shape = variant.settings, self.shape(w.variant)
        triples, texts = self.counts.examples(variant.triples), self.study.triples[variant.triples].texts
        step = texts * settings["batch_size"] * settings["max_length"]
        copies = measured.TRAINED_COPIES[settings["method"]] if not self.gpu else measured.TRAINED_COPIES_GPU
        # Of an adapter what is kept is as small as it is.
        copies += variant.keeps_best and not variant.adapted
        copies += variant.objective.start
        mib = measured.TORCH + copies * shape.mib + measured.TRIPLE_TEXTS * triples * texts / 3 / MIB
        kept = min(step, measured.KEPT_TOKENS)
        mib += measured.CUDA_HOST if self.gpu else measured.ACTIVATION * kept * shape.layers * shape.dimensions / MIB
        # Vectors of a batch, their gradient and similarities, where only those are kept of it.
        mib += 16 * texts * settings["batch_size"] * (shape.dimensions + settings["batch_size"]) / MIB
        # Vectors of all texts of the triples.
        for other in {name for name in (variant.objective.base and BASE, variant.guide) if name}:
            mib += self._vectors(min(texts * triples, sum(self._training_size)), other)
        return mib, self._seconds(self.counts.work("train_variant", w))

    def _measured(self, runs: int) -> tuple[float, float]:
        """Of jobs that read one run file after another, a query at a time."""
        queries = [self.counts.queries(name, split) for name, split in self.study.evaluations]
        return measured.MEASURED_MIB + measured.MEASURED_QUERY * sum(queries) / MIB, runs * sum(
            queries
        ) * self.depth / 400_000

    def _geometry(self, w: Any) -> tuple[float, float]:
        sample = min(self.study.config["geometry"]["sample"], self.counts.passages(w.collection))
        # Vectors in double precision and copies, blocks of 1,024 of them against all, and base's shard beside one.
        mib = measured.LIGHT + 6 * self._vectors(sample) + 1024 * sample * 16 / MIB + 2 * self._shard(w.collection)
        # Sums of products over the corpus: 40 GFLOP/s of one core in double precision, and reading.
        products = 6 * self.counts.passages(w.collection) * self.largest.dimensions**2 / 40e9
        return mib, 300 + 2 * products

    def _projection(self, w: Any) -> tuple[float, float]:
        # 600 MiB and 34 s at 800 passages and five models, most of it UMAP's libraries.
        points = self.study.config["projection"]["passages"]
        shard = self._shard(self.study.primary[0])
        models, seeds = len(self.study.compared), self.study.config["projection"]["seeds"]
        # Distances of all points to one another, their order and its inverse; a fit, and all models placed, each seed.
        mib = 600 + 10 * self._vectors(points * models) + 2 * shard + 24 * points**2 / MIB
        return mib, 60 + 0.02 * points * seeds * (2 + models)

    @property
    def _training_size(self) -> tuple[int, int]:
        """Training queries and passages of the collection that is trained on."""
        return self.counts.queries(self.study.train_on), self.counts.passages(self.study.train_on)


def _shape(folder: Path) -> Shape:
    file = folder / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    mib = sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / MIB
    layers = settings.get("num_hidden_layers", ASSUMED_MODEL.layers)
    return Shape(mib, layers, settings.get("hidden_size", ASSUMED_MODEL.dimensions))


def _round(value: float, unit: int) -> int:
    return math.ceil(value / unit) * unit
