"""Judgments of a split against the queries and passages that there are."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backfire.datasets.load import load_corpus, records
from backfire.datasets.passages import texts_of
from backfire.datasets.qrels import HIGHEST
from backfire.datasets.text import normalised
from backfire.errors import BackfireError

_logger = logging.getLogger(__name__)


def read_qrels(dataset: Any, source: str) -> tuple[dict[str, dict[str, int]], Counter]:
    """Grades by query and passage, in the order of the source, and the number of judgments read of each query."""
    grades: dict[str, dict[str, int]] = {}
    judged: Counter = Counter()
    for qrel in records(dataset, source, "qrels"):
        if not -HIGHEST <= qrel.relevance <= HIGHEST:
            raise BackfireError(
                f"'{source}': query '{qrel.query_id}' and passage '{qrel.doc_id}' have the grade {qrel.relevance}.",
                f"a grade says how relevant a passage is; measures take {-HIGHEST} to {HIGHEST}.",
            )
        grades.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
        judged[qrel.query_id] += 1
    if not judged:
        raise BackfireError(
            f"'{source}': there are no judgments.",
            "a split needs qrels; choose one that has them. A data set with splits of its own may lack this one.",
        )
    repeated = sum(judged.values()) - sum(map(len, grades.values()))
    if repeated:
        _logger.warning("%s: %d judgments repeat an earlier one; the last holds.", source, repeated)
    return grades, judged


def unknown_passages(absent: set[str], corpus: str) -> set[str]:
    """Those of the passages that the corpus does not hold at all, as against ones that were not kept."""
    unknown = set(absent)
    if unknown:
        for doc in records(load_corpus(corpus), corpus, "docs"):
            unknown.discard(doc.doc_id)
            if not unknown:
                break
    return unknown


@dataclass(frozen=True)
class Missing:
    """Queries and passages that the judgments of a split name, and that the source does not hold."""

    corpus: str
    source: str
    queries: list[str]
    passages: list[str]
    known: int

    def __bool__(self) -> bool:
        return bool(self.queries or self.passages)

    def __str__(self) -> str:
        said = []
        if self.queries:
            said.append(f"passages for the query {_some(self.queries)}, which is not among the {self.known} queries")
        if self.passages:
            said.append(f"the passage {_some(self.passages)}, which the corpus '{self.corpus}' does not hold")
        return f"'{self.source}': the qrels judge {'; and '.join(said)}"

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {"queries": len(self.queries), "passages": len(self.passages)}

    def refusal(self) -> BackfireError:
        """What to say where nothing may be missing."""
        hints = ["queries and qrels must come from the same set"] * bool(self.queries)
        hints += ["corpus and qrels must belong together, and the corpus must be whole"] * bool(self.passages)
        return BackfireError(
            f"{self}.",
            f"{'; '.join(hints)}. Where it was published like that, as BEIR's ArguAna, set missing: drop of the "
            "collection, which leaves such judgments out and counts them.",
        )


def _some(ids: list[str]) -> str:
    return f"'{ids[0]}'" + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")


def passages_themselves(same_id: set[str], texts: dict[str, str], corpus_shards: Sequence[str]) -> int:
    """Number of queries that are the passage whose id they have: the passage's text ends with theirs."""
    if not same_id:
        return 0
    return sum(
        bool(text := normalised(texts[doc_id])) and normalised(passage).endswith(text)
        for some in texts_of(corpus_shards, "corpus", same_id)
        for doc_id, passage in zip(*some, strict=True)
    )
