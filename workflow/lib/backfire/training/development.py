"""The development set watched during training: some queries, and a pool of passages they are ranked against."""

from dataclasses import dataclass

import numpy as np

from backfire.datasets.passages import doc_ids, texts_by_id
from backfire.encoders.encoder import Encoder
from backfire.encoders.encoding import encode_tokens, vectors_and_norms
from backfire.encoders.similarity import EUCLIDEAN, searchable, similarities
from backfire.encoders.tokens import ModelTokenizer, Tokens
from backfire.errors import BackfireError
from backfire.evaluation.measures import Values, score_queries
from backfire.formats.tables import read_rows
from backfire.keyed import keyed_sample
from backfire.training.steps import Diverged


@dataclass(frozen=True)
class DevelopmentSet:
    """Ids and tokens of the queries and pool passages, and the judgments (query_id, doc_id, relevance) between them.

    Its measures are over the pool, so they are higher than over the whole corpus: a curve to compare steps and
    variants by, not a result.
    """

    query_ids: list[str]
    queries: Tokens
    passage_ids: list[str]
    passages: Tokens
    qrels: list[tuple[str, str, int]]
    relevant_from: int = 1

    def look(
        self, encoder: Encoder, measures: list[str], of_passages: Encoder | None = None
    ) -> tuple[Values, dict[str, float]]:
        """Each measure for every query, {name: {query_id: value}}, for the encoder as it is now; and what describes it.

        `of_passages` encodes passages where that is another one.
        Passages of grade `relevant_from` or more count as relevant in measures without grades.

        Over the queries that have both, the 10th, 50th and 90th percentiles of the similarity to the relevant passage
        that is most similar (`positive_p10`, ...) and to the most similar one that is not judged relevant
        (`negative_p10`, ...); and of the pool's vectors the participation ratio (`pool_participation_ratio`) and the
        mean length before they are scaled to unit length (`pool_norm`).

        Raises `Diverged` when a vector is not finite.
        """
        queries = searchable(encode_tokens(encoder, self.queries, "query"), "query", encoder.similarity)
        vectors, norms = vectors_and_norms(of_passages or encoder, self.passages, "document")
        passages = searchable(vectors, "document", encoder.similarity)
        if not (np.isfinite(queries).all() and np.isfinite(passages).all()):
            raise Diverged("a vector of the development set is not finite")
        products = queries @ passages.T
        run = {}
        for query_id, scores in zip(self.query_ids, products, strict=True):
            # Score descending, then doc id ascending, as in every run.
            order = np.lexsort((self.passage_ids, -scores))
            run[query_id] = [(self.passage_ids[row], float(scores[row])) for row in order]
        described = {"pool_participation_ratio": participation_ratio(vectors), "pool_norm": float(norms.mean())}
        if encoder.similarity == EUCLIDEAN:
            products = np.stack([similarities(each, queries) for each in products.T], axis=1)
        return score_queries(measures, self.qrels, run, self.relevant_from), described | self._margins(products)

    def _margins(self, scores: np.ndarray) -> dict[str, float]:
        """Percentiles of the highest score of each query's relevant passages, and of all others."""
        relevant = np.zeros(scores.shape, bool)
        rows, columns = ({name: place for place, name in enumerate(ids)} for ids in (self.query_ids, self.passage_ids))
        for query_id, doc_id, grade in self.qrels:
            relevant[rows[query_id], columns[doc_id]] |= grade >= self.relevant_from
        both = relevant.any(axis=1) & ~relevant.all(axis=1)
        if not both.any():
            return {}
        found = {
            "positive": np.where(relevant, scores, -np.inf)[both].max(axis=1),
            "negative": np.where(relevant, -np.inf, scores)[both].max(axis=1),
        }
        return {
            f"{name}_p{percentile}": float(np.percentile(values, percentile))
            for name, values in found.items()
            for percentile in (10, 50, 90)
        }


def participation_ratio(vectors: np.ndarray) -> float:
    """(sum of the covariance's eigenvalues) squared over the sum of their squares, of vectors (texts, dimensions).

    By traces, which need no eigenvalues; 0 where all vectors are one.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    products = centred.T @ centred
    squares = float(np.sum(products**2))
    return float(np.trace(products) ** 2 / squares) if squares > 0 else 0.0


def development_set(
    queries: str,
    qrels: str,
    corpus: list[str],
    size: int,
    pool: int,
    tokenizer: ModelTokenizer,
    max_length: int,
    relevant_from: int = 1,
) -> DevelopmentSet:
    """Choose `size` queries and `pool` passages by a hash of their ids; relevant passages of the queries come first.

    Queries are those with a passage of grade `relevant_from` or more, and in the pool are all their passages of a
    grade above 0. The pool is larger than asked for when these are more than that. Raises `BackfireError` when no
    query has such a passage.
    """
    judged = read_rows(qrels, "qrels").to_pylist()
    relevant_queries = {row["query_id"] for row in judged if row["relevance"] >= relevant_from}
    if not relevant_queries:
        raise BackfireError(
            f"{qrels}: no query of the watched split has a passage of grade {relevant_from} or more.",
            "lower the split's entry in relevance of the collection, or watch another split (dynamics.split).",
        )
    chosen = set(keyed_sample(relevant_queries, size, "development query"))
    kept = [(row["query_id"], row["doc_id"], row["relevance"]) for row in judged if row["query_id"] in chosen]
    relevant = {doc_id for _, doc_id, relevance in kept if relevance > 0}
    others = keyed_sample((doc_id for doc_id in doc_ids(corpus) if doc_id not in relevant), pool, "development pool")
    ids = sorted(relevant | set(others[: max(0, pool - len(relevant))]))
    texts = texts_by_id(corpus, "corpus", ids)
    query_texts = texts_by_id([queries], "queries", chosen)
    query_ids = sorted(chosen)
    return DevelopmentSet(
        query_ids=query_ids,
        queries=tokenizer.tokenize([query_texts[query_id] for query_id in query_ids], "query", max_length),
        passage_ids=ids,
        passages=tokenizer.tokenize([texts[doc_id] for doc_id in ids], "document", max_length),
        qrels=[row for row in kept if row[1] in texts],
        relevant_from=relevant_from,
    )
