"""Training examples as token ids, and the order in which they are taken."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from backfire.datasets.passages import texts_of
from backfire.encoders.tokens import ModelTokenizer, Tokens, joined
from backfire.errors import BackfireError
from backfire.formats.tables import read_rows
from backfire.keyed import key
from backfire.negatives.itself import Itself
from backfire.training.model_vectors import ModelVectors
from backfire.training.teacher import teacher_scores

_PROMPT = {"queries": "query", "corpus": "document"}


@dataclass(frozen=True)
class Examples:
    """Each distinct text once in `tokens`; `rows` (examples, 2 + negatives) are the texts of query, positive and
    negatives, int32.

    `relevant` holds, text by text from `starts`, the passages that are relevant to a query, as rows of `tokens`; of a
    passage there are none. Memory: 4 bytes a token, 16 a text, 12 a triple and 4 for each negative more. A
    million triples of MS MARCO (half a million queries of 10 tokens, two million passages of 80) are 0.7 GB, and twice
    that while they are put together. `base` (texts, dimensions) float32 are the base's vectors of the texts, for an
    objective that needs them, `guide` those of the model that guides, and `teacher` (examples, 1 + negatives) float32 a
    teacher's scores of their passages.
    """

    tokens: Tokens
    rows: np.ndarray
    starts: np.ndarray
    relevant: np.ndarray
    base: np.ndarray | None = None
    guide: np.ndarray | None = None
    teacher: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, tokens: Tokens, rows: np.ndarray, pairs: np.ndarray | None = None) -> "Examples":
        """With `pairs` (pairs, 2) of query and relevant passage beside those of the examples, as rows of `tokens`."""
        known = np.unique(np.concatenate([rows[:, :2], *([] if pairs is None else [pairs])]), axis=0)
        starts = np.searchsorted(known[:, 0], np.arange(len(tokens) + 1))
        return cls(tokens, rows, starts, known[:, 1].astype(np.int32))

    def only(self, chosen: np.ndarray) -> "Examples":
        """Those of the examples that `chosen` (examples,) is true for; what is relevant is known from all."""
        teacher = None if self.teacher is None else self.teacher[chosen]
        return replace(self, rows=self.rows[chosen], teacher=teacher)

    def known_among(self, queries: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """(queries, texts), true where a text is relevant to a query; both as rows of `tokens`."""
        place = {text: column for column, text in enumerate(texts.tolist())}
        found = np.zeros((len(queries), len(texts)), bool)
        for row, query in enumerate(queries.tolist()):
            for passage in self.relevant[self.starts[query] : self.starts[query + 1]].tolist():
                if (column := place.get(passage)) is not None:
                    found[row, column] = True
        return found


def load_examples(
    triples: str,
    queries: str,
    corpus: list[str],
    tokenizer: ModelTokenizer,
    max_length: int,
    qrels: str | None = None,
    base: ModelVectors | None = None,
    guide: ModelVectors | None = None,
    teacher: str | None = None,
) -> Examples:
    """The triples of a table, their texts tokenised as they are read and cut at `max_length`.

    Texts carry the model's own prompts, as they do when they are encoded. `qrels` are the judgments of the training
    queries, which say what else is relevant; a passage that is the query itself counts as such. Only passages of the
    examples count. With `base` and `guide` the examples have their vectors, with the table `teacher` its scores. Raises
    `BackfireError` when a text, a vector or a score is missing.
    """
    asked, *columns = read_examples(triples)
    query_ids, query_tokens = _tokenised([queries], "queries", asked, tokenizer, max_length)
    passages = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    passage_ids, passage_tokens = _tokenised(corpus, "corpus", passages, tokenizer, max_length)
    query_rows = _rows(query_ids, asked)
    passage_rows = _rows(passage_ids, passages) + len(query_tokens)
    rows = np.stack([query_rows, *passage_rows.reshape(len(columns), -1)], axis=1).astype(np.int32)
    tokens = joined([query_tokens, passage_tokens])
    of = {"base": base, "guide": guide}
    read = {each: each.of(list(query_ids), list(passage_ids)) for each in set(of.values()) if each is not None}
    more = {name: read.get(each) for name, each in of.items()}
    if teacher is not None:
        more["teacher"] = teacher_scores(teacher, asked.to_pylist(), [column.to_pylist() for column in columns])
    if qrels is None:
        return replace(Examples.of(tokens, rows), **more)
    itself = Itself(queries, corpus)
    known = [(query_id, doc_id) for query_id in query_ids for doc_id in itself.passages(query_id)]
    known += [(row["query_id"], row["doc_id"]) for row in read_rows(qrels, "qrels").to_pylist() if row["relevance"] > 0]
    pairs = [
        (query_ids[query_id], passage_ids[doc_id] + len(query_tokens))
        for query_id, doc_id in known
        if query_id in query_ids and doc_id in passage_ids
    ]
    return replace(Examples.of(tokens, rows, np.array(pairs, np.int32).reshape(-1, 2)), **more)


def read_examples(triples: str) -> list[pa.ChunkedArray]:
    """Ids of the queries, of the positives and of each negative in turn: columns of a triple table with a row for each
    example.

    Raises `BackfireError` where the rows of an example do not stand together, name several queries or positives, or
    are not as many as those of the others.
    """
    table = read_rows(triples, "triples", columns=["example", "query_id", "positive_id", "negative_id"])
    example = table["example"].to_numpy()
    each = int(np.count_nonzero(example == 0)) or 1
    first = table.take(np.arange(0, len(example), each))
    columns = [first["query_id"], first["positive_id"]]
    whole = np.array_equal(example, np.arange(len(example)) // each) and len(example) == each * len(first)
    for number in range(each) if whole else ():
        rows = table.take(np.arange(number, len(example), each))
        whole = whole and all(rows[name].equals(first[name]) for name in ("query_id", "positive_id"))
        columns.append(rows["negative_id"])
    if not whole:
        raise BackfireError(
            f"{triples}: examples are not of {each} rows each, one after another, with one query and one positive.",
            "delete the file and run again; it was not written by this version of Backfire.",
        )
    return columns


def batches(count: int, batch_size: int, steps: range, seed: int) -> Iterator[np.ndarray]:
    """Rows of the examples, out of `count`, in each of `steps`; every example once in an epoch, the last batch smaller.

    The order of an epoch depends on `seed` and the epoch alone, so that any step can be started from.
    """
    in_epoch = -(-count // batch_size)
    known, order = -1, np.empty(0, np.int64)
    for step in steps:
        epoch, place = divmod(step, in_epoch)
        if epoch != known:
            known, order = epoch, epoch_order(count, seed, epoch)
        yield order[place * batch_size : (place + 1) * batch_size]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` examples by numbers of the counter-based generator Philox (Salmon et al. 2011)."""
    return np.argsort(np.random.Philox(key=key(seed, "order", epoch)).random_raw(count), kind="stable")


def _tokenised(
    paths: list[str], kind: str, ids: pa.ChunkedArray, tokenizer: ModelTokenizer, max_length: int
) -> tuple[dict[str, int], Tokens]:
    """The row of each distinct id, and the tokens of their texts, read without holding the texts in memory."""
    wanted, places, pieces = ids.unique().to_pylist(), {}, []
    for row_ids, texts in texts_of(paths, kind, wanted):
        pieces.append(tokenizer.tokenize(texts, _PROMPT[kind], max_length))
        places |= {row_id: len(places) + place for place, row_id in enumerate(row_ids)}
    return places, joined(pieces)


def _rows(places: dict[str, int], ids: pa.ChunkedArray) -> np.ndarray:
    encoded = ids.combine_chunks().dictionary_encode()
    found = np.array([places[row_id] for row_id in encoded.dictionary.to_pylist()], np.int64)
    return found[encoded.indices.to_numpy()]
