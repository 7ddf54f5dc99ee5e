"""Work: what the jobs that take long compute, counted for each rule once.

What is asked of a cluster counts at the most (counts.py), a plan's hours at what is expected (facts.py).
Loaded whenever the DAG is built, so it uses the standard library only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backfire.planning.lines import examples
from backfire.study.judge import CROSS_ENCODER
from backfire.study.parts import TRAIN
from backfire.study.study import Study
from backfire.study.variants import Course

# What most cross-encoders take at most.
PAIR_TOKENS = 512


@dataclass(frozen=True)
class Work:
    """Tokens, with padding, through the model of the variant `model`; optimiser steps of so many tokens; pairs of a
    query and a passage whose vectors are multiplied; and lists of a query that are merged, one for each shard.

    `model` is None for a model that is no variant of the study. `short` tokens are of queries alone.
    """

    model: str | None = None
    tokens: float = 0.0
    short: bool = False
    steps: float = 0.0
    step_tokens: float = 0.0
    pairs: float = 0.0
    merges: float = 0.0


class Sizes(ABC):
    """How many passages and queries a study has, how long they are, and the work that follows from it."""

    def __init__(self, study: Study):
        self.study = study
        self._rules: dict[str, Callable[[Any], Work]] = {
            "encode_corpus": self._passages,
            "encode_queries": self._queries,
            "rank": self._ranking,
            "mine_hard": self._mining,
            "rerank_run": self._reranking,
            "score_teacher": self._scoring,
            "judge_exchanges": self._judging,
            "train_variant": self._training,
        }

    @abstractmethod
    def passages(self, name: str) -> int:
        """Passages of a collection."""

    @abstractmethod
    def queries(self, name: str, query_set: str = TRAIN) -> int:
        """Queries of a set; 0 where the collection has no such set."""

    @abstractmethod
    def passage_tokens(self, name: str, limit: int) -> float:
        """Tokens of a passage with padding, cut at `limit`."""

    @abstractmethod
    def query_tokens(self, limit: int) -> float:
        """Tokens of a query with padding, cut at `limit`."""

    @abstractmethod
    def pair_tokens(self, name: str, limit: int | None) -> float:
        """Tokens of a query and a passage together, cut at `limit`, or where most models cut them."""

    def work(self, rule: str, wildcards: Any) -> Work:
        """Work of a job of a rule that takes long, with those wildcards; for one shard of a rule that takes shards."""
        return self._rules[rule](wildcards)

    def shard(self, name: str) -> int:
        """Passages of the largest shard of a collection."""
        return -(-self.passages(name) // self.study.shards_of(name))

    def examples(self, triples: str) -> int:
        """Examples of a set of triples."""
        return examples(self.study.triples[triples], self.queries(self.study.train_on))

    def course(self, variant: str) -> Course:
        """How long one seed of a variant trains."""
        trained = self.study.variants[variant]
        return trained.course(self.examples(trained.triples))

    def _length(self, w: Any) -> int:
        choice = getattr(w, "choice", None)
        return self.study.chosen(choice)["max_length"] if choice else self.study.config["encoding"]["max_length"]

    def _passages(self, w: Any) -> Work:
        return Work(w.variant, self.shard(w.collection) * self.passage_tokens(w.collection, self._length(w)))

    def _queries(self, w: Any) -> Work:
        tokens = self.queries(w.collection, w.split) * self.query_tokens(self._length(w))
        return Work(w.variant, tokens, short=True)

    def _ranking(self, w: Any) -> Work:
        queries = self.queries(w.collection, w.split)
        pairs = queries * self.passages(w.collection)
        return Work(pairs=pairs, merges=queries * self.study.shards_of(w.collection))

    def _mining(self, w: Any) -> Work:
        study, queries = self.study, self.queries(self.study.train_on)
        passages = -(-self.passages(study.train_on) // study.parts)
        return Work(pairs=queries * passages, merges=queries * study.shards_of(study.train_on) / study.parts)

    def _reranking(self, w: Any) -> Work:
        settings = self.study.variants[w.variant].settings
        depth = min(settings["depth"], self.study.config["ranking"]["depth"], self.passages(w.collection))
        each = self.pair_tokens(w.collection, settings["max_length"])
        return Work(tokens=self.queries(w.collection, w.split) * depth * each)

    def _scoring(self, w: Any) -> Work:
        triples, limit, where = self.study.triples[w.triples], self.study.teacher_length(w.triples), self.study.train_on
        each = self._scored(triples.teacher["kind"], triples.texts - 1, where, limit)
        return Work(tokens=self.examples(w.triples) * each)

    def _scored(self, kind: str, passages: int, where: str, limit: int | None) -> float:
        """Tokens of a query and so many passages for a teacher, together or apart."""
        if kind == CROSS_ENCODER:
            return passages * self.pair_tokens(where, limit)
        return self.query_tokens(limit) + passages * self.passage_tokens(where, limit)

    @property
    def exchanges(self) -> int:
        """Queries, of every variant, whose answer changed places with a passage: at most all."""
        return self.queries(*self.study.primary[:2]) * (len(self.study.compared) - 1)

    def _judging(self, w: Any) -> Work:
        judge = self.study.judge
        return Work(tokens=self.exchanges * self._scored(judge.kind, 2, self.study.primary[0], judge.max_length))

    def _training(self, w: Any) -> Work:
        """The steps, and what is encoded meanwhile: passages and queries that are watched, at the start, the end and
        every interval; held-out examples at every look."""
        variant, dynamics, where = self.study.variants[w.variant], self.study.config["dynamics"], self.study.train_on
        going, texts, limit = (
            self.course(w.variant),
            self.study.triples[variant.triples].texts,
            variant.settings["max_length"],
        )
        passage, query = self.passage_tokens(where, limit), self.query_tokens(limit)
        watched = min(dynamics["pool"], self.passages(where)) * passage + dynamics["queries"] * query
        encoded = (2 + going.steps // dynamics["interval"]) * watched
        encoded += going.looks * going.held_out * (query + (texts - 1) * passage)
        # A batch is padded to the longest that it may hold.
        batch = texts * variant.settings["batch_size"] * limit
        return Work(w.variant, encoded, steps=going.steps, step_tokens=batch)
