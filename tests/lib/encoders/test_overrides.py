"""Prompts and similarity that a study sets: what sentence-transformers then does with the folder."""

import json
import logging
import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from backfire.encoders.base import prepare_base
from backfire.encoders.encoder import load_encoder
from backfire.encoders.overrides import SETTINGS, lacking_prompts, override
from backfire.errors import BackfireError
from backfire.formats.certificates import read_certificate

TEXTS = ["How tall is the tower?", "It is 300 metres tall."]
PROMPTS = {"query": "query: ", "passage": "passage: "}


@pytest.fixture
def folder(base_model, tmp_path):
    return shutil.copytree(base_model, tmp_path / "model")


def embedded(folder, kind):
    encoder = load_encoder(folder, "fp32")
    return encoder.embed(encoder.tokenize(TEXTS, kind, 64), kind)[0]


def test_prompts_are_put_before_texts_as_by_hand(base_model, tmp_path):
    """Backfire's vectors, the library's, and those of texts with the prompt typed before them are the same."""
    prepare_base(str(base_model), None, str(tmp_path / "made"), changes={"prompts": PROMPTS})
    plain, ours = SentenceTransformer(str(base_model)), SentenceTransformer(str(tmp_path / "made"))
    for kind, prompt, encode in (
        ("query", "query: ", ours.encode_query),
        ("document", "passage: ", ours.encode_document),
    ):
        typed = plain.encode([prompt + text for text in TEXTS], normalize_embeddings=True)
        assert np.abs(typed - plain.encode(TEXTS, normalize_embeddings=True)).max() > 0.01
        for found in (encode(TEXTS, normalize_embeddings=True), embedded(tmp_path / "made", kind)):
            np.testing.assert_allclose(found, typed, atol=1e-5)
    assert read_certificate(tmp_path / "made").forward == "bert"
    assert json.loads((tmp_path / "made/base.json").read_text())["prompts"] == PROMPTS


def test_one_prompt_leaves_the_other_as_the_files_have_it(folder):
    told = {"prompts": {"query": "ask: ", "passage": "p: ", "clustering": "c: "}, "default_prompt_name": None}
    (folder / SETTINGS).write_text(json.dumps(told))
    override(folder, {"prompts": {"query": "q: "}}, "variants.x")
    assert json.loads((folder / SETTINGS).read_text())["prompts"] == {
        "query": "q: ",
        "passage": "p: ",
        "clustering": "c: ",
    }
    override(folder, {"prompts": {"passage": ""}}, "variants.x")
    found = SentenceTransformer(str(folder))
    np.testing.assert_allclose(found.encode_document(TEXTS), found.encode(TEXTS, prompt=""), atol=1e-6)
    assert embedded(folder, "document") == pytest.approx(
        found.encode_document(TEXTS, normalize_embeddings=True), abs=1e-5
    )


def test_the_similarity_that_is_set_is_the_one_that_ranks(folder, tmp_path, caplog):
    """Of a model without Normalize: by dot product its vectors keep their length."""
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    with caplog.at_level(logging.WARNING):
        prepare_base(str(folder), None, str(tmp_path / "made"), "variants.x.model", {"similarity": "dot"})
    assert "its files say 'cosine', and the study compares by 'dot'" in caplog.text
    assert read_certificate(tmp_path / "made").similarity == "dot"
    lengths = np.linalg.norm(embedded(tmp_path / "made", "query"), axis=1)
    assert np.abs(lengths - 1).min() > 0.5


def test_a_folder_in_which_the_library_reads_no_settings_is_refused(folder):
    for file in ("modules.json", SETTINGS):
        (folder / file).unlink()
    with pytest.raises(BackfireError, match=r"^variants.x: prompts cannot be set .* without modules.json") as caught:
        override(folder, {"prompts": PROMPTS}, "variants.x")
    assert "save_pretrained" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("intfloat/e5-small-v2", 'prompts: {query: "query: ", passage: "passage: "}'),
        ("intfloat/multilingual-e5-base", 'prompts: {query: "query: ", passage: "passage: "}'),
        ("/models/bge-base-en-v1.5", 'prompts: {query: "Represent this sentence for searching relevant passages: "}'),
        ("nomic-ai/nomic-embed-text-v1.5", 'prompts: {query: "search_query: ", passage: "search_document: "}'),
        ("intfloat/multilingual-e5-large-instruct", None),
        ("sentence-transformers/all-MiniLM-L6-v2", None),
    ],
)
def test_families_that_want_prompts_are_known(folder, name, wanted):
    assert lacking_prompts(name, folder) == wanted
    assert lacking_prompts(name, None) is None
    override(folder, {"prompts": {"query": "q: "}}, "variants.x")
    assert lacking_prompts(name, folder) is None
