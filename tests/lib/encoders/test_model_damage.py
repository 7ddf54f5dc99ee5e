"""The folder of a model that was damaged behind our back is told by name, or computes what it computed."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from backfire.encoders import adapters
from backfire.encoders.bert import Bert, load_bert
from backfire.encoders.encoder import load_encoder
from backfire.errors import BackfireError
from backfire.formats.atomic import replacing
from backfire.formats.sums import NAME, check_sums

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = ["[PAD]", "[UNK]", "a", "query", "about", "damage"]
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
POOLING = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": CONFIG["hidden_size"]}
ADAPTER = {"rank": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["query"]}


def write_model(path, static):
    """A small model in sentence-transformers layout, as a job leaves it; a BERT has an adapter beside its weights."""
    torch.manual_seed(0)
    with replacing(path) as folder:
        folder.mkdir()
        tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(folder / "tokenizer.json"))
        own = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[PAD]"}
        (folder / "tokenizer_config.json").write_text(json.dumps(own))
        kinds = ["StaticEmbedding"] if static else ["Transformer", "Pooling"]
        modules = [
            {
                "idx": row,
                "name": str(row),
                "path": "" if row == 0 else "1_Pooling",
                "type": f"sentence_transformers.models.{kind}",
            }
            for row, kind in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        if static:
            save_file({"embedding.weight": torch.randn(len(WORDS), 8)}, folder / "model.safetensors")
            return
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling/config.json").write_text(json.dumps(POOLING))
        (folder / "config.json").write_text(json.dumps(CONFIG))
        model = Bert(CONFIG)
        for weight in model.parameters():
            torch.nn.init.normal_(weight)
        save_file(model.state_dict(), folder / "model.safetensors")
        adapters.attach(model, ADAPTER, 0).save("base", folder / "adapter")


def vectors(folder):
    encoder = load_encoder(folder, "fp32", torch.device("cpu"))
    return encoder.embed(encoder.tokenize(["a query about damage", "damage"], "query", 8), "query")[0]


@pytest.fixture(scope="module", params=["static", "bert"])
def model(request, tmp_path_factory):
    """The folder of a model, its files, and the vectors that it computes."""
    folder = tmp_path_factory.mktemp("models") / request.param
    write_model(folder, request.param == "static")
    files = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    return folder, files, vectors(folder)


def outcome(folder, expected):
    """Whether the damage is told; if not, nothing may have changed."""
    try:
        np.testing.assert_array_equal(vectors(folder), expected)
    except BackfireError as error:
        assert str(folder) in error.message
        assert "delete" in error.hint
        return True
    return False


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_damage_to_any_file_is_told(model, data):
    folder, files, expected = model
    file = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[file])
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["change", "cut", "zeros", "another"]))
    if kind == "change":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place:]
    elif kind == "zeros":
        content[place : place + 512] = bytes(len(content[place : place + 512]))
    else:
        content = files[data.draw(st.sampled_from(sorted(files)))]
    try:
        file.write_bytes(content)
        told = outcome(folder, expected)
    finally:
        file.write_bytes(files[file])
    # Of the checksums a line break or the line of a file that no model is loaded from may change.
    assert told or content == files[file] or file.name == NAME


def test_a_lost_file_is_told(model):
    folder, files, expected = model
    for file, content in files.items():
        file.unlink()
        # A folder without checksums is one that Backfire did not write.
        assert outcome(folder, expected) == (file.name != NAME)
        file.write_bytes(content)


def test_a_folder_without_checksums_is_read_and_what_is_cut_short_there_is_named(model, tmp_path):
    folder, files, expected = model
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / NAME).unlink()
    np.testing.assert_array_equal(vectors(copy), expected)
    for file, content in files.items():
        mine = copy / file.relative_to(folder)
        if file.name == NAME or "adapter" in file.parts:
            continue
        for length in range(0, len(content), 1 + len(content) // 20):
            mine.write_bytes(content[:length])
            with pytest.raises(BackfireError) as caught:
                vectors(copy)
            assert str(mine) in caught.value.message
        mine.write_bytes(content)


def test_a_damaged_adapter_is_named(tmp_path):
    """By the checksums of its folder, also to whoever asks for the model alone; without these, when it is read."""
    folder = tmp_path / "model"
    write_model(folder, static=False)
    names = {"adapter_config.json": "JSON file", "adapter_model.safetensors": "safetensors file"}
    for name in names:
        file = folder / "adapter" / name
        content = file.read_bytes()
        file.write_bytes(content[:-9])
        for load in (load_bert, lambda where: load_encoder(where, "fp32")):
            with pytest.raises(BackfireError) as caught:
                load(folder)
            assert caught.value.message == f"{file}: it is not the file that {folder / NAME} was taken of."
        file.write_bytes(content)
    (folder / NAME).unlink()
    for name, kind in names.items():
        file = folder / "adapter" / name
        content = file.read_bytes()
        file.write_bytes(content[:-9])
        with pytest.raises(BackfireError, match=f"^{file}: not a readable {kind} "):
            adapters.apply_adapter(load_bert(folder), folder / "adapter")
        file.write_bytes(content)


def test_weights_of_another_model_are_named(tmp_path):
    folder = tmp_path / "model"
    write_model(folder, static=False)
    (folder / NAME).unlink()
    weights = load_file(folder / "model.safetensors")
    save_file({"embedding.weight": torch.ones(3, 3)}, folder / "model.safetensors")
    with pytest.raises(BackfireError) as caught:
        vectors(folder)
    # How many are missing is for rounding to say: keys' biases change vectors by nothing else.
    said = f"{folder}: the weights lack embeddings.LayerNorm.bias, which would be drawn at random ("
    assert caught.value.message.startswith(said)
    name = "embeddings.word_embeddings.weight"
    save_file(weights | {name: torch.ones(len(WORDS), 4)}, folder / "model.safetensors")
    other = f"the weight {name} is (6, 4), the model of config.json has it (6, 8) (1 such weights)."
    with pytest.raises(BackfireError) as caught:
        vectors(folder)
    assert caught.value.message == f"{folder}: {other}"


def test_the_checksums_are_those_of_sha256sum_whatever_the_names(tmp_path):
    with replacing(tmp_path / "model") as folder:
        folder.mkdir()
        save_file({"a": torch.ones(1)}, folder / "model.safetensors")
        for name in ("two words.txt", "a\nline.txt", "back\\slash.json", "$(touch x).json", "zażółć.txt"):
            (folder / name).write_text("content")
    check_sums(tmp_path / "model")
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", NAME], cwd=tmp_path / "model", check=True)
    (tmp_path / "model/a\nline.txt").write_text("changed")
    with pytest.raises(BackfireError, match="a\nline.txt: it is not the file that"):
        check_sums(tmp_path / "model")


def test_a_file_that_no_model_is_loaded_from_may_come_and_go(tmp_path):
    write_model(tmp_path / "model", static=True)
    (tmp_path / "model/README.md").write_text("A card.")
    check_sums(tmp_path / "model")
