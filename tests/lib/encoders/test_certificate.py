"""Which path runs a model: proven on the model, whatever its files ask for, or refused by name."""

import json
import shutil

import numpy as np
import pytest
import torch

from backfire.encoders.certificate import TOLERANCE, certificate_of, certify
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.errors import BackfireError

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["how do I read a CSV file", "Crème brûlée", "", "a longer text " * 30]


@pytest.fixture(scope="module")
def plain(base_model, tmp_path_factory):
    """A BERT of two small layers with random weights and MiniLM's own tokenizer, in sentence-transformers layout."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("models") / "plain"
    shutil.copytree(base_model, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.onnx", "*.bin", "__*"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.4,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def changed(plain, tmp_path):
    """A function that copies the plain model and changes keys of some of its JSON files."""

    def change(**files):
        folder = tmp_path / "model"
        shutil.copytree(plain, folder)
        for name, keys in files.items():
            path = folder / {"pooling": "1_Pooling/config"}.get(name, name)
            path = path.with_name(f"{path.name}.json")
            path.write_text(json.dumps(json.loads(path.read_text()) | keys))
        return folder

    return change


def without_normalize(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))


def as_the_library(folder, kind):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}).float()
    model.max_seq_length = 64
    encode_kind = model.encode_query if kind == "query" else model.encode_document
    return encode_kind(TEXTS, batch_size=1, normalize_embeddings=model.similarity_fn_name == "cosine")


def holds(folder):
    """The certificate, after vectors of both kinds were compared with the library's on other texts than its own."""
    found = certify(folder, "model")
    assert found.difference <= TOLERANCE
    assert certificate_of(folder) == found
    encoder = load_encoder(folder, "fp32")
    for kind in ("query", "document"):
        expected = as_the_library(folder, kind)
        scale = max(1.0, np.linalg.norm(expected, axis=1).max())
        assert np.abs(encode(encoder, TEXTS, kind, 64) - expected).max() / scale <= TOLERANCE, kind
    return found


def test_a_plain_bert_takes_the_fast_path(plain, tmp_path):
    found = holds(shutil.copytree(plain, tmp_path / "model"))
    assert (found.tokens, found.forward, found.similarity, found.limit) == ("fast", "bert", "cosine", 128)


def test_what_a_second_file_asks_of_the_text_is_done(changed):
    folder = changed(sentence_bert_config={"do_lower_case": True}, tokenizer_config={"do_lower_case": False})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert holds(folder).tokens == "library"


def test_a_side_that_texts_are_cut_on_is_kept(changed):
    assert holds(changed(tokenizer_config={"truncation_side": "left"})).tokens == "library"


def test_prompts_that_pooling_leaves_out_are_left_out(changed):
    prompts = {"query": "a question: ", "document": "an answer: "}
    folder = changed(config_sentence_transformers={"prompts": prompts}, pooling={"include_prompt": False})
    assert holds(folder).forward == "library"


def test_a_model_for_dot_products_keeps_the_length_of_its_vectors(changed):
    folder = changed(config_sentence_transformers={"similarity_fn_name": "dot"})
    without_normalize(folder)
    assert holds(folder).similarity == "dot"
    norms = np.linalg.norm(encode(load_encoder(folder, "fp32"), TEXTS, "query", 64), axis=1)
    assert norms.min() > 1.1


def test_dimensions_that_are_cut_off_are_cut_off(changed):
    folder = changed(config_sentence_transformers={"truncate_dim": 8})
    assert holds(folder).forward == "library"


def test_another_activation_is_no_plain_bert(changed):
    assert holds(changed(config={"hidden_act": "relu"})).forward == "library"


def test_keys_that_first_configurations_lack_have_the_librarys_defaults(changed):
    folder = changed()
    config = json.loads((folder / "config.json").read_text())
    del config["layer_norm_eps"]
    (folder / "config.json").write_text(json.dumps(config))
    assert holds(folder).forward == "bert"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_stored_in_half_precision_are_computed_in_fp32(changed, dtype):
    from safetensors.torch import load_file, save_file

    folder = changed(config={"dtype": str(dtype).removeprefix("torch.")})
    weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert holds(folder).forward == "bert"


def test_weights_in_shards_are_read(plain, tmp_path):
    from transformers import BertModel

    folder = shutil.copytree(plain, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    BertModel.from_pretrained(plain).save_pretrained(folder, max_shard_size="1MB")
    assert (folder / "model.safetensors.index.json").is_file()
    assert holds(folder).forward == "library"
    next(folder.glob("model-00001-*.safetensors")).unlink()
    with pytest.raises(BackfireError, match="holds no model-00001-of"):
        certificate_of(folder)


def test_a_layer_without_weights_is_refused(changed):
    folder = changed(config={"num_hidden_layers": 3})
    with pytest.raises(BackfireError, match=r"the weights lack .*layer\.2\."):
        certify(folder, "model")


def test_a_layer_that_the_model_does_not_take_is_refused(changed):
    folder = changed(config={"num_hidden_layers": 1})
    with pytest.raises(BackfireError, match=r"the weights hold .*layer\.1\."):
        certify(folder, "model")


def test_code_of_the_folder_is_refused(changed):
    folder = changed(config={"auto_map": {"AutoModel": "modeling.OtherModel"}})
    with pytest.raises(BackfireError, match="code of its own"):
        certify(folder, "model")
    folder = shutil.copytree(folder, folder.with_name("other"))
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BackfireError, match=r"the class custom_st\.Transformer"):
        certify(folder, "model")


def test_a_certificate_belongs_to_the_files_it_was_made_on(changed):
    folder = changed()
    certify(folder, "model")
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncate_dim": 8}))
    assert certificate_of(folder).forward == "library"
