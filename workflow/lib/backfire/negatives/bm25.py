"""BM25 candidates: the passages that share the query's words.

MS MARCO's `triples.train.small` holds unjudged BM25 top-1000 passages, often called random negatives; this is their
source for a collection without published triples.
"""

import bm25s
from bm25s.tokenization import Tokenizer

from backfire.formats.tables import iterate_rows, read_rows, write_batches
from backfire.logs import progress

# Anserini's defaults for MS MARCO passages.
K1, B = 0.9, 0.4
QUERY_BLOCK = 256


def mine_bm25(corpus: list[str], queries: str, depth: int, output: str, label: str) -> None:
    """Write the `depth` best BM25 candidates of every query, fewer where fewer share a word with it.

    Lucene's BM25 (Kamphuis et al. 2020), lower-cased words without English stop words. Order: score descending, then
    doc id ascending. The index holds token ids only; texts pass through a batch at a time.
    """
    tokenizer = Tokenizer(stopwords="en")
    doc_ids: list[str] = []
    token_ids: list = []
    for path in corpus:
        for batch in iterate_rows(path, "corpus"):
            doc_ids.extend(batch["doc_id"].to_pylist())
            texts = batch["text"].to_pylist()
            token_ids.extend(tokenizer.tokenize(texts, update_vocab=True, return_as="ids", show_progress=False))
    retriever = bm25s.BM25(method="lucene", k1=K1, b=B)
    retriever.index((token_ids, tokenizer.get_vocab_dict()), show_progress=False)
    table = read_rows(queries, "queries")
    query_ids, texts = table["query_id"].to_pylist(), table["text"].to_pylist()

    def blocks():
        with progress(label, len(query_ids), "query") as bar:
            for start in range(0, len(query_ids), QUERY_BLOCK):
                tokens = tokenizer.tokenize(
                    texts[start : start + QUERY_BLOCK],
                    update_vocab=False,
                    return_as="ids",
                    show_progress=False,
                )
                rows, scores = retriever.retrieve(tokens, k=min(depth, len(doc_ids)), show_progress=False)
                yield [
                    candidate
                    for offset, (best, values) in enumerate(zip(rows, scores, strict=True))
                    for candidate in _candidates(query_ids[start + offset], best, values, doc_ids)
                ]
                bar.update(len(tokens))

    write_batches(output, "candidates", blocks())


def _candidates(query_id: str, rows, scores, doc_ids: list[str]) -> list[dict]:
    hits = [(doc_ids[row], float(score)) for row, score in zip(rows, scores, strict=True) if score > 0]
    hits.sort(key=lambda hit: (-hit[1], hit[0]))
    return [
        {"query_id": query_id, "doc_id": doc_id, "rank": rank, "score": score}
        for rank, (doc_id, score) in enumerate(hits, start=1)
    ]
