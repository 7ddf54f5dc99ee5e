"""Which arithmetic is settled, on real models on this machine; how fast one is here is nobody's claim."""

import shutil

import pytest
from safetensors.torch import load_file, save_file
from small_models import LAYOUTS, static

from backfire.encoders import settled as settled_module
from backfire.encoders.certificate import certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.settled import multiplied, settled
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.jobs.resources import processor_name
from backfire.study.precision import ENCODE, TRAIN
from backfire.training import settling
from backfire.training.settling import FOLDER, MARGIN, fastest, settle_arithmetic


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / FOLDER


@pytest.fixture
def settle(base_model, tmp_path):
    def run(model=base_model, max_length=32):
        settle_arithmetic(str(model), max_length, str(tmp_path / "arithmetic.json"))
        return read_json(tmp_path / "arithmetic.json")

    return run


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"fp32": 1.0}, "fp32"),
        # A processor that has bf16 and is slower with it, and one that gains less than it must.
        ({"fp32": 1.0, "bf16": 1.4}, "fp32"),
        ({"fp32": 1.0, "bf16": 1 / MARGIN + 0.01}, "fp32"),
        ({"fp32": 1.0, "bf16": 1 / MARGIN - 0.01}, "bf16"),
        ({"fp32": 1.0, "fp16": 0.3, "bf16": 0.31}, "fp16"),
    ],
)
def test_fp32_is_left_for_a_clear_gain_alone(seconds, expected):
    assert fastest(seconds) == expected


def test_what_is_settled_was_measured_here(settle):
    found = settle()
    assert found["processor"] == processor_name() and found["device"] == "cpu"
    for task in (ENCODE, TRAIN):
        assert sorted(found[task]["seconds"]) == sorted(multiplied())
        assert all(seconds > 0 for seconds in found[task]["seconds"].values())
        assert found[task]["precision"] == fastest(found[task]["seconds"])
        assert found[task]["tokens"] % 32 == 0
        assert settled("auto", [write(settle, found)], task) == found[task]["precision"]


def write(settle, found):
    path = settling._cache().parent / "arithmetic.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return path


def test_an_arithmetic_whose_vectors_are_far_off_encodes_nothing(settle, monkeypatch):
    """However fast it is."""
    found = settle()
    if len(multiplied()) == 1:
        pytest.skip("this processor multiplies in fp32 alone")
    assert 0.999 < found[ENCODE]["cosine"]["bf16"] < 1 == pytest.approx(found[ENCODE]["cosine"]["fp32"])
    monkeypatch.setattr(settling, "CLOSE", 1 - 1e-7)
    monkeypatch.setattr(settling, "MARGIN", 0.0)
    assert settle(max_length=48)[ENCODE]["precision"] == "fp32"


def test_vectors_that_are_not_finite_are_close_to_nothing(base_model, tmp_path):
    folder = tmp_path / "large"
    shutil.copytree(base_model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"] *= 1e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    certify(folder, "large")
    encoders = {each: load_encoder(folder, each) for each in {*multiplied()[-1:], "fp32"}}
    assert settling.closeness(encoders, 32)["fp32"] == 0


def test_one_machine_gives_one_answer(settle, cache):
    first = settle()
    (kept,) = cache.iterdir()
    assert settle() == first
    # Texts of another length, another thread: measured for themselves.
    settle(max_length=64)
    assert len(list(cache.iterdir())) == 2
    # What is damaged is measured anew.
    kept.write_text("{")
    assert settle()["processor"] == first["processor"]
    assert read_json(kept)[ENCODE]["precision"] in multiplied()


def test_a_folder_that_cannot_be_written_to_costs_the_memory_alone(settle, cache):
    cache.parent.parent.write_text("a file where the folder would be")
    assert settle()[ENCODE]["precision"] in multiplied()


def test_a_model_of_another_layout_is_timed_as_it_is_run(settle, tmp_path):
    folder = LAYOUTS["mpnet"].build(tmp_path / "mpnet")
    certify(folder, "mpnet")
    found = settle(folder)
    assert sorted(found[TRAIN]["seconds"]) == sorted(multiplied())


def test_what_is_looked_up_has_no_arithmetic(settle, tmp_path):
    folder = static(tmp_path / "static")
    certify(folder, "static")
    found = settle(folder)
    assert found[ENCODE] == found[TRAIN] == {"precision": "fp32", "tokens": 0, "seconds": {}}


def test_a_precision_that_is_named_needs_no_measurement():
    assert settled("bf16", [], ENCODE) == "bf16"


def test_a_machine_without_the_studys_arithmetic_stops(tmp_path):
    """fp16 was settled on a GPU; this job has none."""
    found = {"processor": "NVIDIA H200", ENCODE: {"precision": "fp16"}, TRAIN: {"precision": "bf16"}}
    write_json(tmp_path / "arithmetic.json", found)
    with pytest.raises(
        BackfireError, match="computes in fp16.* on NVIDIA H200 .*arithmetic.json.* not multiply in fp16"
    ) as caught:
        settled("auto", [tmp_path / "arithmetic.json"], ENCODE)
    assert processor_name() in str(caught.value)
    assert "fp32" in caught.value.hint and "Slurm" in caught.value.hint


def test_a_processor_without_bf16_does_not_emulate_it(tmp_path, monkeypatch):
    monkeypatch.setattr(settled_module, "native_bf16", lambda: False)
    write_json(tmp_path / "arithmetic.json", {"processor": "other", TRAIN: {"precision": "bf16"}})
    with pytest.raises(BackfireError, match="does not multiply in bf16"):
        settled("auto", [tmp_path / "arithmetic.json"], TRAIN)
