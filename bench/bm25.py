"""BM25 over shards with the word counts of the whole corpus, against `bm25s` over the corpus in one index.

Ours reads Parquet and writes it, as the workflow does, in four shards; the peer holds everything in memory. Words,
formula, k1 and b are the same, so the scores should be too.
"""

import tempfile
from pathlib import Path

import bm25s
import numpy as np

from backfire.formats.tables import read_rows, write_rows
from backfire.retrieval.lexical import K1, B, count_terms, mine_bm25
from bench.pairs import Pair, pair
from bench.questions import Questions

DEPTH, SHARDS = 100, 4


def run(arguments) -> list[Pair]:
    """One row, from texts to the best passages of every query."""
    asked = Questions(arguments.queries, 10 * arguments.passages)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shards = [work / f"{shard}.parquet" for shard in range(SHARDS)]
        for path, rows in zip(shards, np.array_split(np.arange(len(asked.doc_ids)), SHARDS), strict=True):
            write_rows(path, "corpus", [{"doc_id": asked.doc_ids[row], "text": asked.passages[row]} for row in rows])
        pairs = zip(asked.query_ids, asked.queries, strict=True)
        write_rows(work / "queries.parquet", "queries", [{"query_id": name, "text": text} for name, text in pairs])
        corpus = list(map(str, shards))

        def ours() -> dict[str, list[float]]:
            count_terms(corpus, str(work / "terms.parquet"))
            files = str(work / "queries.parquet"), DEPTH, str(work / "found.parquet")
            mine_bm25(str(work / "terms.parquet"), corpus, *files)
            found = read_rows(work / "found.parquet", "candidates")
            scores: dict[str, list[float]] = {}
            for query_id, score in zip(found["query_id"].to_pylist(), found["score"].to_pylist(), strict=True):
                scores.setdefault(query_id, []).append(score)
            return scores

        def theirs() -> dict[str, list[float]]:
            index = bm25s.BM25(method="lucene", k1=K1, b=B)
            index.index(bm25s.tokenize(asked.passages, stopwords="en", show_progress=False), show_progress=False)
            tokens = bm25s.tokenize(asked.queries, stopwords="en", show_progress=False)
            _, scores = index.retrieve(tokens, k=DEPTH, show_progress=False)
            return {query_id: row.tolist() for query_id, row in zip(asked.query_ids, scores, strict=True)}

        return [
            pair(
                f"BM25, {len(asked.queries):,} queries, {len(asked.doc_ids):,} passages, {DEPTH} deep",
                ours=ours,
                peer=theirs,
                peer_name="bm25s",
                rounds=arguments.rounds,
                work=float(len(asked.doc_ids)),
                unit="passages",
                agreement=_agreement,
            )
        ]


def _agreement(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> str:
    """The largest difference between the n-th scores of a query; bm25s fills up with zeros."""
    worst = max(
        float(np.abs(np.array(scores) - theirs[query_id][: len(scores)]).max()) for query_id, scores in ours.items()
    )
    return f"scores differ by at most {worst:.1e}"
