"""Passages that are a query themselves, as in ArguAna, Quora and CQADupStack, where queries come from the corpus."""

import logging
from collections import defaultdict

import pyarrow.compute as pc

from backfire.formats.tables import iterate_rows, read_rows

logger = logging.getLogger(__name__)

# Passages that are looked at together: looking up prepares all query texts each time.
LOOKED_UP = 1 << 17


class Itself:
    """Tells whether a passage is a query itself: it has the query's id, or its text but for outer white space.

    A model ranks such a passage first, and as a negative it would teach the model to push a text away from itself.
    Memory holds the ids of passages that have a query's text, and the texts of the queries while the corpus is read.
    """

    def __init__(self, queries: str, corpus: list[str]):
        """Look for the queries of the table `queries` among the passages of the shards `corpus`; logs how many are."""
        table = read_rows(queries, "queries").combine_chunks()
        ids, texts = table["query_id"].combine_chunks(), pc.utf8_trim_whitespace(table["text"].combine_chunks())
        asked: dict[str, list[str]] = {}
        self._alike: dict[str, set[str]] = defaultdict(set)
        same_id = 0
        for path in corpus:
            for batch in iterate_rows(path, "corpus", LOOKED_UP):
                same_id += pc.sum(pc.is_in(batch["doc_id"], value_set=ids)).as_py() or 0
                found = pc.is_in(passages := pc.utf8_trim_whitespace(batch["text"]), value_set=texts)
                if not pc.any(found).as_py():
                    continue
                if not asked:
                    for query_id, text in zip(ids.to_pylist(), texts.to_pylist(), strict=True):
                        asked.setdefault(text, []).append(query_id)
                for doc_id, text in zip(
                    batch["doc_id"].filter(found).to_pylist(), passages.filter(found).to_pylist(), strict=True
                ):
                    for query_id in asked[text]:
                        self._alike[query_id].add(doc_id)
        if same_id or self._alike:
            logger.info(
                "of %d training queries %d have the id of a passage and %d the text of one; that passage is no "
                "negative of theirs",
                len(ids),
                same_id,
                len(self._alike),
            )

    def passages(self, query_id: str) -> set[str]:
        """Ids that a passage has which is the query itself, whether there is one or not."""
        return {query_id, *self._alike.get(query_id, ())}

    def __call__(self, query_id: str, doc_id: str) -> bool:
        """Whether the passage `doc_id` is the query `query_id`."""
        return query_id == doc_id or doc_id in self._alike.get(query_id, ())
