"""A base in a folder is known by what its files hold."""

import shutil

import pytest

from backfire.encoders.folders import base_files
from backfire.provenance.fingerprints import file_sha256


@pytest.fixture
def folder(base_model, tmp_path):
    return shutil.copytree(base_model, tmp_path / "base")


@pytest.mark.parametrize("name", ["config_sentence_transformers.json", "model.safetensors"])
def test_an_edited_file_is_another_base(folder, tmp_path, name):
    memory = tmp_path / "memory.json"
    before = base_files(str(folder), memory)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    after = base_files(str(folder), memory)
    assert after == before | {name: file_sha256(file)} != before


def test_files_that_were_touched_or_decide_nothing_change_nothing(folder, tmp_path):
    memory = tmp_path / "memory.json"
    before = base_files(str(folder), memory)
    (folder / "config.json").touch()
    (folder / "README.md").write_text("Another card.")
    (folder / ".git").mkdir()
    (folder / ".git/config.json").write_text("{}")
    assert before and base_files(str(folder), memory) == before


def test_a_pinned_model_and_one_on_the_hub_have_no_files(tmp_path):
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "owner/model"):
        assert base_files(name, tmp_path / "memory.json") == {}
