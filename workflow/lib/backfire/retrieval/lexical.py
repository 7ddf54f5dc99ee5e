"""BM25: the passages that share the query's words, as candidates for negatives and as a system of its own.

MS MARCO's `triples.train.small` holds unjudged BM25 top-1000 passages, often called random negatives; this is their
source for a collection without published triples. Words are counted over the whole corpus first, so that a passage's
score does not depend on the shard or part that it lies in.
"""

import time
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter

import bm25s
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bm25s.tokenization import Tokenizer

from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import iterate_rows, read_rows, write_batches, write_rows
from backfire.formats.trec import Ranking, write_run
from backfire.jobs.logs import progress
from backfire.retrieval.candidates import HELD, WRITTEN, candidate_table

# Anserini's defaults for MS MARCO passages.
K1, B = 0.9, 0.4
# Passages that are split into words together.
TOKENIZED = 16384

_Best = tuple[np.ndarray, np.ndarray]
"""The best candidates of a query so far, in final order: float32 scores, and passages by the order of their ids."""


def count_terms(corpus: list[str], output: str) -> None:
    """Write for every word of the corpus the passages that hold it and its occurrences, in the order of words.

    Words are lower-case, of two or more letters or digits, without English stop words. The row of the empty word
    counts all passages and all words. Memory holds the vocabulary, never the texts.
    """
    tokenizer = Tokenizer(stopwords="en")
    passages, occurrences = np.zeros(0, np.int64), np.zeros(0, np.int64)
    total = 0
    for path in corpus:
        for batch in iterate_rows(path, "corpus", TOKENIZED):
            rows, words = _flat(_split(tokenizer, batch["text"].to_pylist()))
            size = len(tokenizer.get_vocab_dict())
            held = np.unique(words * len(batch) + rows) // len(batch)
            passages = _padded(passages, size) + np.bincount(held, minlength=size)
            occurrences = _padded(occurrences, size) + np.bincount(words, minlength=size)
            total += len(batch)
    vocabulary = pa.array(["", *tokenizer.get_vocab_dict()], pa.string())
    columns = [vocabulary, np.append(total, passages), np.append(occurrences.sum(), occurrences)]
    table = pa.table(columns, schema=SCHEMAS["terms"])
    write_rows(output, "terms", table.take(pc.sort_indices(vocabulary)))


def mine_bm25(terms: str, corpus: list[str], queries: str, depth: int, output: str, label: str | None = None) -> None:
    """Write the `depth` best BM25 candidates of every query, fewer where fewer share a word with it.

    `terms` is the count over the whole corpus, `corpus` the shards of one part of it. Lucene's BM25 (Kamphuis et al.
    2020). Order: score descending, then doc id ascending. Memory holds the doc ids of the part, the index of one
    shard and `HELD` candidates: shards are indexed again for each block of `HELD / depth` queries.
    """
    write_batches(output, "candidates", _candidates(terms, corpus, queries, depth, label, K1, B, {}))


def rank_bm25(
    terms: str,
    corpus: list[str],
    queries: str,
    depth: int,
    k1: float,
    b: float,
    tag: str,
    output: str,
    cost: str,
    label: str | None = None,
) -> None:
    """Write the run of the `depth` best passages of every query over a whole corpus (see `mine_bm25`).

    `k1` and `b` are Lucene's. A query whose words are in no passage has no line, and passages that share no word with a
    query are not ranked for it. `cost` is given the number of queries and the seconds that searching took, building the
    index left out.
    """
    spent: dict[str, float] = {}
    tables = _candidates(terms, corpus, queries, depth, label, k1, b, spent)
    write_run(output, (ranking for table in tables for ranking in _by_query(table)), tag)
    write_json(cost, spent)


def _by_query(table: pa.Table) -> Iterator[tuple[str, Ranking]]:
    """(query_id, ranking) of a table of candidates, in which the rows of a query stand together."""
    columns = (table[name].to_pylist() for name in ("query_id", "doc_id", "score"))
    for query, rows in groupby(zip(*columns, strict=True), key=itemgetter(0)):
        yield query, [(doc_id, score) for _, doc_id, score in rows]


def _candidates(
    terms: str,
    corpus: list[str],
    queries: str,
    depth: int,
    label: str | None,
    k1: float,
    b: float,
    spent: dict[str, float],
) -> Iterator[pa.Table]:
    table = read_rows(queries, "queries")
    spent |= {"queries_searched": len(table), "seconds_searching": 0.0}
    ids = pa.chunked_array([batch["doc_id"] for path in corpus for batch in iterate_rows(path, "corpus", TOKENIZED)])
    order = pc.sort_indices(ids)
    names, ordinals = ids.take(order).combine_chunks(), np.empty(len(ids), np.int32)
    ordinals[order.to_numpy()] = np.arange(len(ids), dtype=np.int32)
    counts = _Counts(terms)
    step = max(1, HELD // depth)
    with progress(label, len(table) * len(corpus), "query") as bar:
        for start in range(0, len(table), step):
            block = table.slice(start, step)
            texts = block["text"].to_pylist()
            best: list[_Best] = [(np.empty(0, np.float32), np.empty(0, np.int32))] * len(texts)
            first = 0
            for path in corpus:
                index, words = _shard_index(path, counts, k1, b)
                begun = time.perf_counter()
                _search_shard(index, words, texts, ordinals[first : first + len(index)], best, depth, bar)
                spent["seconds_searching"] += time.perf_counter() - begun
                first += len(index)
            yield from _tables(block["query_id"].combine_chunks(), best, names)


class _Counts:
    """How many passages hold each word, and how long a passage is on average."""

    def __init__(self, path: str):
        table = read_rows(path, "terms").combine_chunks()
        self._path, self._words, self._passages = path, table["word"].chunk(0), table["passages"].to_numpy()
        # The empty word sorts first.
        self._total = int(self._passages[0])
        self.average_length = table["occurrences"][0].as_py() / self._total

    def idf(self, words: list[str]) -> np.ndarray:
        """Lucene's inverse document frequency of each word, float32."""
        rows = pc.index_in(pa.array(words, pa.string()), value_set=self._words)
        if rows.null_count:
            raise BackfireError(
                f"{self._path}: the corpus holds {rows.null_count} words that were not counted.",
                "the corpus changed since; delete the file and run again.",
            )
        held = self._passages[rows.to_numpy()]
        return np.log(1 + (self._total - held + 0.5) / (held + 0.5)).astype(np.float32)


class _ShardIndex(bm25s.BM25):
    """The index of one shard, with the word counts of the whole corpus."""

    def __init__(self, idf: np.ndarray, average_length: float, k1: float, b: float):
        super().__init__(method="lucene", k1=k1, b=b)
        self._idf, self._average_length = idf, average_length

    def __len__(self) -> int:
        return self.scores["num_docs"]

    def build_index_from_ids(self, unique_token_ids, corpus_token_ids, **_) -> dict:
        """The scores of every (word, passage) as the matrix that bm25s keeps, a column for each word."""
        rows, words = _flat(corpus_token_ids)
        count = len(corpus_token_ids)
        pairs, frequency = np.unique(words * count + rows, return_counts=True)
        words, rows = np.divmod(pairs, count)
        length = np.fromiter(map(len, corpus_token_ids), np.int64, count)
        saturation = self.k1 * ((1 - self.b) + self.b * length / self._average_length)
        scores = self._idf[words] * (frequency / (saturation[rows] + frequency))
        starts = np.concatenate([[0], np.cumsum(np.bincount(words, minlength=len(unique_token_ids)))])
        self.nonoccurrence_array = None
        return {
            "data": scores.astype(np.float32),
            "indices": rows.astype(np.int32),
            "indptr": starts,
            "num_docs": count,
        }


def _shard_index(path: str, counts: _Counts, k1: float, b: float) -> tuple[_ShardIndex, Tokenizer]:
    """The index of a shard, and the tokenizer that knows its words."""
    tokenizer = Tokenizer(stopwords="en")
    tokens = [
        words
        for batch in iterate_rows(path, "corpus", TOKENIZED)
        for words in _split(tokenizer, batch["text"].to_pylist())
    ]
    index = _ShardIndex(counts.idf(list(tokenizer.get_vocab_dict())), counts.average_length, k1, b)
    index.index((tokens, tokenizer.get_vocab_dict()), create_empty_token=False, show_progress=False)
    return index, tokenizer


def _search_shard(
    index: _ShardIndex, tokenizer: Tokenizer, texts: list[str], ordinals, best: list[_Best], depth: int, bar
):
    """Merge what a shard has for each query into `best`, in place."""
    for query, words in enumerate(_split(tokenizer, texts, update=False)):
        bar.update()
        if not words:
            continue
        scores = index.get_scores_from_ids(words)
        known, found = best[query]
        floor = known[-1] if len(known) == depth else 0
        hits = np.flatnonzero((scores >= floor) & (scores > 0))
        if len(hits) > depth:
            hits = hits[scores[hits] >= np.partition(scores[hits], -depth)[-depth]]
        if len(hits):
            values, passages = np.append(known, scores[hits]), np.append(found, ordinals[hits])
            order = np.lexsort((passages, -values))[:depth]
            best[query] = values[order], passages[order]


def _split(tokenizer: Tokenizer, texts: list[str], update: bool = True) -> Iterator[list[int]]:
    """The words of each text as numbers; with `update` new words are numbered, else they are left out."""
    return tokenizer.streaming_tokenize(texts, update_vocab=update, allow_empty=False)


def _flat(tokens) -> tuple[np.ndarray, np.ndarray]:
    """For every word of every text the text's row and the word."""
    tokens = list(tokens)
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    words = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
    return np.repeat(np.arange(len(tokens)), lengths), words


def _padded(counts: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([counts, np.zeros(size - len(counts), counts.dtype)])


def _tables(query_ids: pa.Array, best: list[_Best], names: pa.Array) -> Iterator[pa.Table]:
    """The candidates of a block of queries, some `WRITTEN` rows at a time."""
    lengths = np.array([len(scores) for scores, _ in best])
    groups = np.cumsum(lengths) // WRITTEN
    for group in np.unique(groups[lengths > 0]):
        queries = np.flatnonzero((groups == group) & (lengths > 0))
        yield candidate_table(
            query_ids.take(pa.array(queries)),
            lengths[queries],
            names.take(pa.array(np.concatenate([best[query][1] for query in queries]))),
            np.concatenate([best[query][0] for query in queries]),
        )
