"""Tokens: the ids that transformers gives, stored flat, padded as they were."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfire.encoders.tokens import PADDING, fast_tokenizer, joined, padded, tokens_of

TEXTS = ["Sort an array.", "", "Ünïcödé 数学 🙂", "word " * 300]


@pytest.mark.parametrize("with_file", [True, False])
def test_ids_are_those_of_transformers(base_model, tmp_path, with_file):
    from transformers import AutoTokenizer

    folder = tmp_path / "model"
    shutil.copytree(base_model, folder)
    if not with_file:
        (folder / "tokenizer.json").unlink()
    found = fast_tokenizer(folder).tokenize(TEXTS, "document", 32)
    theirs = AutoTokenizer.from_pretrained(base_model)(TEXTS, truncation=True, max_length=32)["input_ids"]
    assert [found.ids[a:b].tolist() for a, b in zip(found.starts, found.starts[1:], strict=False)] == theirs


@given(st.lists(st.lists(st.integers(1, 30521), max_size=40), min_size=1, max_size=12), st.data())
def test_padding_keeps_every_token_and_masks_the_rest(texts, data):
    tokens = tokens_of(texts)
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=8))
    ids, mask = tokens.padded(rows)
    assert ids.shape == mask.shape
    assert ids.shape[1] % PADDING == 0
    for row, found, kept in zip(rows, ids, mask, strict=True):
        assert found[kept == 1].tolist() == texts[row]
        assert not found[kept == 0].any()


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=9), st.integers(0, 9))
def test_pieces_are_joined_in_order(texts, cut):
    whole, parts = tokens_of(texts), joined([tokens_of(texts[:cut]), tokens_of(texts[cut:])])
    assert len(parts) == len(texts)
    assert np.array_equal(parts.ids, whole.ids)
    assert np.array_equal(parts.starts, whole.starts)


def test_lengths_are_whole_vectors():
    assert [padded(length) for length in (1, 16, 17)] == [16, 16, 32]
    assert padded(np.array([1, 33])).tolist() == [16, 48]
