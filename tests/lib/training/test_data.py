"""Triples as tokens, and the order of epochs."""

import numpy as np
import pytest

from backfire.encoders.encoder import load_tokenizer
from backfire.errors import BackfireError
from backfire.training.data import batches, load_examples, read_examples

TEXTS = {f"d{row}": f"passage number {row} " + "and more " * row for row in range(6)}
TEXTS |= {f"q{row}": f"query {row}" for row in range(3)}
COLUMNS = ("example", "query_id", "positive_id", "negative_id")


@pytest.fixture
def files(table):
    """Three triples over two shards; one text is both positive and negative."""
    texts = TEXTS
    rows = [("q1", "d4", "d0"), ("q0", "d1", "d4"), ("q1", "d1", "d5")]
    return {
        "triples": table(
            "triples",
            "triples",
            [dict(zip(COLUMNS, (place, *row), strict=True), source="bm25") for place, row in enumerate(rows)],
        ),
        "queries": table("queries", "queries", [{"query_id": f"q{row}", "text": texts[f"q{row}"]} for row in range(3)]),
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


def test_an_example_with_several_negatives_has_them_in_their_order(files, base_model, table):
    tables, _ = files
    rows = [(0, "q1", "d4", "d0"), (0, "q1", "d4", "d5"), (1, "q0", "d1", "d4"), (1, "q0", "d1", "d2")]

    def written(name, rows):
        return table(name, "triples", [dict(zip(COLUMNS, row, strict=True), source="hard") for row in rows])

    tokenizer = load_tokenizer(base_model)
    examples = load_examples(
        **tables | {"triples": written("several", rows)}, tokenizer=tokenizer, max_length=9, qrels=None
    )
    known = {row: tokenizer.tokenize([text], "document", 9).ids.tolist() for row, text in TEXTS.items()}
    starts, ids = examples.tokens.starts, examples.tokens.ids
    found = [[ids[starts[text] : starts[text + 1]].tolist() for text in row] for row in examples.rows]
    assert found == [[known[name] for name in names] for names in (("q1", "d4", "d0", "d5"), ("q0", "d1", "d4", "d2"))]
    apart = [rows[0], rows[2], rows[1], rows[3]]
    for place, wrong in enumerate(
        (apart, rows[:3], [*rows[:3], (1, "q1", "d1", "d2")], [*rows[:3], (2, *rows[3][1:])])
    ):
        with pytest.raises(BackfireError, match="examples are not of 2 rows each, one after another"):
            read_examples(written(f"wrong-{place}", wrong))


def test_what_is_relevant_to_a_query_beside_its_own_positive_is_known(files, base_model, table):
    """From the triples of the query, from the judgments, and a passage with the query's text."""
    tables, _ = files
    queries = table(
        "asked", "queries", [{"query_id": "q0", "text": "passage number 0"}, {"query_id": "q1", "text": "q"}]
    )
    judged = [("q0", "d5", 1), ("q0", "d0", 0), ("q1", "d3", 2), ("other", "d1", 1)]
    qrels = table(
        "qrels", "qrels", [dict(zip(("query_id", "doc_id", "relevance"), row, strict=True)) for row in judged]
    )
    examples = load_examples(
        **tables | {"queries": queries}, tokenizer=load_tokenizer(base_model), max_length=9, qrels=qrels
    )
    first, second, third = examples.rows  # (q1, d4, d0), (q0, d1, d4), (q1, d1, d5)
    d4, d0, d1, d5 = first[1], first[2], second[1], third[2]
    known = examples.known_among(np.array([second[0], first[0]]), np.array([d0, d1, d4, d5, first[0]]))
    assert known.tolist() == [[True, True, False, True, False], [False, True, True, False, False]]
    alone = load_examples(**tables | {"queries": queries}, tokenizer=load_tokenizer(base_model), max_length=9)
    assert alone.known_among(second[:1], np.array([d0, d1, d4, d5])).tolist() == [[False, True, False, False]]


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
