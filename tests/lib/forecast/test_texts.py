"""Queries that are asked twice, and passages that answer twice."""

from hypothesis import given
from hypothesis import strategies as st

from backfire.datasets.duplicates import alike, shingles
from backfire.datasets.text import normalised
from backfire.forecast.known_models import trained_on
from backfire.forecast.texts import answered_twice, asked_twice

words = st.lists(st.sampled_from("abcd"), min_size=1, max_size=8).map(" ".join)


def test_words_in_another_case_are_the_same_query():
    assert asked_twice(["Sort a LIST,  please"], ["sort a list, please", "sort another list"]) == 1
    long = "how do I sort a list of numbers in place without a copy of it"
    assert asked_twice([long], [f"{long} please", "how do I sort"]) == 1
    assert asked_twice([], ["sort"]) == 0 == asked_twice(["sort"], [])


@given(st.lists(words, max_size=8), st.lists(words, max_size=8))
def test_no_pair_is_missed(training, evaluated):
    vocabulary = {}
    known = [shingles(text, vocabulary) for text in training]
    expected = sum(
        any(normalised(text) == normalised(other) for other in training)
        or any(alike(shingles(text, vocabulary), other) for other in known)
        for text in evaluated
    )
    assert asked_twice(training, evaluated) == expected


def test_a_positive_of_two_queries_is_counted_by_id_and_by_words():
    texts = {"a": "One text.", "b": "one  TEXT.", "c": "another", "d": "alone"}
    pairs = [("q1", "a"), ("q2", "b"), ("q3", "c"), ("q4", "c"), ("q5", "d"), ("q5", "d")]
    assert answered_twice(pairs, texts) == 4 / 6
    assert answered_twice([], {}) == 0


def test_models_are_known_by_name_and_collections_by_source():
    minilm = "sentence-transformers/all-MiniLM-L6-v2"
    assert trained_on(minilm, "msmarco-passage msmarco-passage/train/judged") == "MS MARCO"
    assert trained_on(minilm, "beir/msmarco") == trained_on("intfloat/e5-base-v2", "beir/msmarco") == "MS MARCO"
    assert trained_on(minilm, "beir/scifact") is None and trained_on(minilm, "pydocs pydocs/train") is None
    assert trained_on("BAAI/bge-small-en-v1.5", "beir/hotpotqa") == "HotpotQA"
    assert trained_on("google-bert/bert-base-uncased", "msmarco-passage") is None
