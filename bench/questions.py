"""Queries with their answers in a pool of passages, from the docstrings of the default study."""

from functools import cache

from backfire.datasets.load import load_corpus, load_split
from backfire.datasets.sources import PYDOCS
from backfire.keyed import keyed_sample


@cache
def docstrings() -> dict[str, str]:
    """Docstrings of the packages installed here, as in the default study, by the id of the passage."""
    return {doc.doc_id: doc.default_text() for doc in load_corpus(PYDOCS).docs_iter()}


@cache
def asked(split: str) -> tuple[dict[str, str], dict[str, str]]:
    """Texts of the queries of a split of the default study, and the passage that answers each, both by query id."""
    found = load_split(PYDOCS, f"{PYDOCS}/{split}")
    queries = {query.query_id: query.default_text() for query in found.queries_iter()}
    return queries, {judged.query_id: judged.doc_id for judged in found.qrels_iter() if judged.relevance > 0}


class Questions:
    """`count` test queries, the passage that answers each, and a pool of about `size` passages that holds them all.

    Passages with a text that occurs twice are left out, so that a text names a passage.
    """

    def __init__(self, count: int, size: int):
        first: dict[str, str] = {}
        for doc_id, text in docstrings().items():
            first.setdefault(text, doc_id)
        texts = {doc_id: text for text, doc_id in first.items()}
        queries, answers = asked("test")
        relevant = {query_id: doc_id for query_id, doc_id in answers.items() if doc_id in texts}
        self.query_ids = keyed_sample(relevant, count, "questions")
        self.queries = [queries[query_id] for query_id in self.query_ids]
        self.answers = [relevant[query_id] for query_id in self.query_ids]
        self.doc_ids = sorted({*keyed_sample(texts, size, "pool"), *self.answers})
        self.passages = [texts[doc_id] for doc_id in self.doc_ids]
