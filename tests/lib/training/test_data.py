"""Triples as tokens, and the order of epochs."""

import numpy as np
import pytest

from backfire.encoders.encoder import load_tokenizer
from backfire.errors import BackfireError
from backfire.training.data import batches, load_examples


@pytest.fixture
def files(table):
    """Three triples over two shards; one text is both positive and negative."""
    texts = {f"d{row}": f"passage number {row} " + "and more " * row for row in range(6)}
    rows = [("q1", "d4", "d0"), ("q0", "d1", "d4"), ("q1", "d1", "d5")]
    return {
        "triples": table(
            "triples",
            "triples",
            [dict(zip(("query_id", "positive_id", "negative_id"), row, strict=True), source="bm25") for row in rows],
        ),
        "queries": table("queries", "queries", [{"query_id": f"q{row}", "text": f"query {row}"} for row in range(3)]),
        "corpus": [
            table("one", "corpus", [{"doc_id": name, "text": texts[name]} for name in ("d0", "d1", "d2")]),
            table("two", "corpus", [{"doc_id": name, "text": texts[name]} for name in ("d3", "d4", "d5")]),
        ],
    }, [[f"query {q[1]}", texts[p], texts[n]] for q, p, n in rows]


def test_every_triple_has_the_tokens_of_its_texts_and_each_text_is_there_once(files, base_model):
    tables, expected = files
    tokenizer = load_tokenizer(base_model)
    triples = load_examples(**tables, tokenizer=tokenizer, max_length=9)
    assert len(triples) == 3
    assert len(triples.tokens) == 2 + 4
    for rows, texts in zip(triples.rows, expected, strict=True):
        wanted = tokenizer.tokenize(texts, "document", 9)
        for row, place in zip(rows, range(3), strict=True):
            ids = triples.tokens.ids[triples.tokens.starts[row] : triples.tokens.starts[row + 1]]
            np.testing.assert_array_equal(ids, wanted.ids[wanted.starts[place] : wanted.starts[place + 1]])


def test_a_missing_text_is_named(files, base_model):
    tables, _ = files
    with pytest.raises(BackfireError, match=r"doc_id 'd4' is not among the exported corpus \(2 missing\)"):
        load_examples(**tables | {"corpus": tables["corpus"][:1]}, tokenizer=load_tokenizer(base_model), max_length=9)


def test_an_epoch_holds_every_triple_once_in_an_order_of_its_own():
    taken = list(batches(10, 4, range(6), seed=3))
    assert [len(batch) for batch in taken] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(taken[:3]), np.concatenate(taken[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    assert list(first) != list(np.concatenate(list(batches(10, 4, range(3), seed=4))))


def test_any_step_can_be_started_from():
    whole = list(batches(10, 4, range(6), seed=3))
    for one, other in zip(batches(10, 4, range(4, 6), seed=3), whole[4:], strict=True):
        np.testing.assert_array_equal(one, other)
