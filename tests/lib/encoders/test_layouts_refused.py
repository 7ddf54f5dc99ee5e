"""Models that cannot be run as sentence-transformers would are refused by name, with what to do; none in silence."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import BERT, LAYOUTS, SIZE, Layout, change, modules, pooling, save
from small_tokenizers import byte_level, wordpiece

from backfire.encoders.certificate import certify
from backfire.errors import BackfireError

pytestmark = pytest.mark.usefixtures("one_thread")


def refused(folder, said, hint=""):
    with pytest.raises(BackfireError, match=said) as caught:
        certify(folder, "model")
    assert hint in caught.value.hint
    assert str(folder) in caught.value.message
    assert not (folder / "certificate.json").exists()


def rewritten(folder, edit):
    """Change the weights of a model: `edit` gives others for them, both by name."""
    weights = edit(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# For each layout that is damaged, a weight that its vectors depend on.
WITHIN = {
    "bert-mean": "encoder.layer.1.output.dense.weight",
    "bert-max": "encoder.layer.1.output.dense.weight",
    "distilbert": "transformer.layer.1.ffn.lin2.weight",
    "mpnet": "encoder.relative_attention_bias.weight",
    "xlm-roberta": "embeddings.LayerNorm.bias",
    "modernbert": "layers.1.mlp.Wo.weight",
    "deberta-v2": "encoder.rel_embeddings.weight",
    "t5-encoder": "encoder.final_layer_norm.weight",
    "qwen3": "layers.0.self_attn.q_norm.weight",
    "gpt2": "h.1.mlp.c_fc.weight",
}


@pytest.mark.parametrize("name", WITHIN)
def test_a_weight_that_is_missing_is_named(name, tmp_path):
    folder = LAYOUTS[name].build(tmp_path / "model")
    rewritten(folder, lambda weights: {key: weights[key] for key in weights if key != WITHIN[name]})
    refused(folder, rf"the weights lack \S*{WITHIN[name]}, which would be drawn at random \(1 are missing\)")


@pytest.mark.parametrize("name", WITHIN)
def test_a_weight_of_another_shape_is_named(name, tmp_path):
    folder = LAYOUTS[name].build(tmp_path / "model")
    rewritten(folder, lambda weights: weights | {WITHIN[name]: torch.ones(3, *weights[WITHIN[name]].shape[1:])})
    refused(folder, rf"the weight \S*{WITHIN[name]} is \(3.*, the model of config.json has it \(\d")


LAYERS = {
    "bert-mean": "num_hidden_layers",
    "bert-max": "num_hidden_layers",
    "distilbert": "n_layers",
    "mpnet": "num_hidden_layers",
    "xlm-roberta": "num_hidden_layers",
    "electra": "num_hidden_layers",
    "deberta-v2": "num_hidden_layers",
    "t5-encoder": "num_layers",
    "llama": "num_hidden_layers",
    "gpt2": "n_layer",
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_too_many_or_too_few_is_named(name, tmp_path):
    folder = LAYOUTS[name].build(tmp_path / "model")
    change(folder, "config.json", **{LAYERS[name]: 3, "layer_types": None})
    refused(folder, r"the weights lack \S*\b2\.\S+, which would be drawn", "save_pretrained")
    change(folder, "config.json", **{LAYERS[name]: 1, "layer_types": None})
    refused(folder, r"the weights hold \S*\b1\.\S+, which the model of config.json does not have", "save_pretrained")


@pytest.mark.parametrize("name", ["bert-mean", "mpnet"])
def test_code_that_comes_with_a_model_is_refused(name, tmp_path):
    folder = LAYOUTS[name].build(tmp_path / "model")
    change(folder, "config.json", auto_map={"AutoModel": "modeling.OtherModel"})
    refused(folder, r"asks in config.json for code of its own \(auto_map: modeling.OtherModel\)", "never run")


def test_a_class_of_its_own_is_refused(tmp_path):
    folder = LAYOUTS["bert-mean"].build(tmp_path / "model")
    listed = json.loads((folder / "modules.json").read_text())
    listed[1]["type"] = "custom_st.AttentionPooling"
    (folder / "modules.json").write_text(json.dumps(listed))
    refused(folder, r"the class custom_st\.AttentionPooling", "never run")


def test_a_shard_that_is_missing_or_cut_short_is_named(tmp_path):
    folder = LAYOUTS["bert-sharded"].build(tmp_path / "model")
    shards = sorted(folder.glob("model-*.safetensors"))
    content = shards[1].read_bytes()
    shards[1].write_bytes(content[:-100])
    refused(folder, f"{shards[1].name}: not a readable safetensors file")
    shards[1].unlink()
    refused(folder, f"holds no {shards[1].name}, which model.safetensors.index.json names .1 of {len(shards)} lack")


def test_an_index_that_leaves_a_shard_out_is_told(tmp_path):
    folder = LAYOUTS["bert-sharded"].build(tmp_path / "model")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    last = sorted(set(index["weight_map"].values()))[-1]
    index["weight_map"] = {name: shard for name, shard in index["weight_map"].items() if shard != last}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "the weights lack ")


@pytest.mark.parametrize("name", ["bert-mean", "mpnet", "bert-dense"])
def test_weights_that_are_cut_short_are_named(name, tmp_path):
    folder = LAYOUTS[name].build(tmp_path / "model")
    for file in folder.rglob("*.safetensors"):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        refused(folder, f"{file}: not a readable safetensors file")
        file.write_bytes(content)


def test_a_module_behind_the_transformer_without_its_weights_is_told(tmp_path):
    folder = LAYOUTS["bert-dense"].build(tmp_path / "model")
    file = folder / "2_Dense/model.safetensors"
    weights = load_file(file)
    save_file({"linear.bias": weights["linear.bias"]}, file)
    refused(folder, r"cannot load this model .*linear\.weight")
    file.unlink()
    refused(folder, "cannot load this model")


@pytest.mark.parametrize("name", ["bert-mean", "roberta", "qwen3"])
def test_a_tokenizer_beyond_the_table_is_refused(name, tmp_path):
    folder = LAYOUTS[name].build(tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    new = {"id": len(tokenizer["model"]["vocab"]), "content": "<more>", "special": False}
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    tokenizer["added_tokens"].append(new | flags)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(folder, r"the tokenizer knows \d+ tokens, the model \d+", "different models")


@pytest.mark.parametrize(
    "weights",
    [{"other": torch.zeros(900, 4)}, {"embedding.weight": torch.zeros(900, 4, dtype=torch.int8)}],
    ids=["other name", "integers"],
)
def test_static_embeddings_of_another_kind_are_refused(tmp_path, weights):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "model"
    table = modules().StaticEmbedding(wordpiece()._tokenizer, embedding_dim=4)
    save(SentenceTransformer(modules=[table]), folder)
    save_file(weights, folder / "model.safetensors")
    refused(folder, "cannot load this model")


def test_a_module_that_reads_padding_is_refused(tmp_path):
    """A text's vector would depend on the texts that share its batch."""
    layout = Layout(BERT, lambda: [modules().CNN(SIZE, 8), pooling(size=24)])
    refused(layout.build(tmp_path / "model"), "vectors would differ by", "choose another model")


def test_words_that_are_no_token_ids_of_a_transformer_are_refused(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "model"
    save(SentenceTransformer(modules=[modules().BoW(["a", "word", "text", "query"])]), folder)
    refused(folder, "holds no model.safetensors")


def test_a_table_beside_a_transformer_is_refused(tmp_path):
    from sentence_transformers import SentenceTransformer

    table = modules().StaticEmbedding(byte_level()._tokenizer, embedding_dim=SIZE)
    transformer = list(SentenceTransformer(str(LAYOUTS["bert-mean"].build(tmp_path / "side"))))
    folder = tmp_path / "model"
    save(SentenceTransformer(modules=[modules().Router.for_query_document([table], transformer)]), folder)
    refused(folder, "StaticEmbedding", "choose")


def test_a_sum_of_differences_between_vectors_of_any_length_is_refused(tmp_path):
    layout = Layout(BERT, options={"similarity_fn_name": "manhattan"})
    refused(layout.build(tmp_path / "model"), "made for 'manhattan' distances", "one of cosine, dot and euclidean")
