"""Queries with their answers in a pool of passages, from the docstrings of the default study."""

from backfire.datasets.load import load_corpus, load_split
from backfire.datasets.sources import PYDOCS
from backfire.keyed import keyed_sample


class Questions:
    """`count` test queries, the passage that answers each, and a pool of about `size` passages that holds them all.

    Passages with a text that occurs twice are left out, so that a text names a passage.
    """

    def __init__(self, count: int, size: int):
        texts = {doc.doc_id: doc.default_text() for doc in load_corpus(PYDOCS).docs_iter()}
        first: dict[str, str] = {}
        for doc_id, text in texts.items():
            first.setdefault(text, doc_id)
        texts = {doc_id: text for text, doc_id in first.items()}
        split = load_split(PYDOCS, f"{PYDOCS}/test")
        queries = {query.query_id: query.default_text() for query in split.queries_iter()}
        relevant = {
            judged.query_id: judged.doc_id
            for judged in split.qrels_iter()
            if judged.relevance > 0 and judged.doc_id in texts
        }
        self.query_ids = keyed_sample(relevant, count, "questions")
        self.queries = [queries[query_id] for query_id in self.query_ids]
        self.answers = [relevant[query_id] for query_id in self.query_ids]
        self.doc_ids = sorted({*keyed_sample(texts, size, "pool"), *self.answers})
        self.passages = [texts[doc_id] for doc_id in self.doc_ids]
