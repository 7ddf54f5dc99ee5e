"""What the files of a base tell of it, against the model that transformers and torch make of them."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel

from backfire.errors import BackfireError
from backfire.preflight.before import check_study
from backfire.preflight.model import ModelFiles, check_model

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 60,
    "max_position_embeddings": 40,
}  # fmt: skip


def saved(kind, folder, **settings):
    """A small model of that kind with random weights, as transformers writes it, and itself."""
    wanted = SMALL | settings
    if kind == "distilbert":
        wanted |= {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    if kind == "modernbert":
        wanted |= dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"], 1)
    if kind == "t5":
        wanted |= {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    config = AutoConfig.for_model(kind, **wanted)
    model = AutoModel.from_config(config) if kind != "t5" else transformers.T5EncoderModel(config)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("kind", "longest"),
    [("bert", 40), ("roberta", 38), ("xlm-roberta", 38), ("mpnet", 38), ("distilbert", 40), ("t5", None)],
)
def test_positions_are_as_many_tokens_as_the_model_takes(tmp_path, kind, longest):
    model = saved(kind, tmp_path).eval()
    found = ModelFiles(tmp_path)
    assert found.positions == longest
    assert found.rows in (60, None if kind == "t5" else 60)
    for length, fits in ((longest or 500, True), ((longest or 500) + 1, longest is None)):
        ids = torch.full((1, length), 7)
        if fits:
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
        else:
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=ids, attention_mask=torch.ones_like(ids))


@pytest.mark.parametrize(
    "kind",
    [
        "albert",
        "bert",
        "camembert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "modernbert",
        "mpnet",
        "roberta",
        "t5",
    ],
)
def test_layers_have_the_names_that_they_have_once_loaded(tmp_path, kind):
    model = saved(kind, tmp_path)
    linear = {name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    found = ModelFiles(tmp_path).layers
    # In the file of a model with a head all names may have a prefix; adapters go by their ends.
    assert {name.rsplit(".", 1)[-1] for name in linear} == {name.rsplit(".", 1)[-1] for name in found}


@pytest.fixture
def placed(tmp_path):
    """A function that lays a BERT out in one of the ways that there are; gives its folder."""

    def lay(layout):
        folder = tmp_path / layout
        inner = folder / "0_Transformer" if layout == "subfolder" else folder
        saved("bert", inner)
        if layout == "sharded":
            tensors = load_file(inner / "model.safetensors")
            names = sorted(tensors)
            pieces = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
            for file, held in pieces.items():
                save_file({name: tensors[name] for name in held}, inner / file)
            index = {"weight_map": {name: file for file, held in pieces.items() for name in held}}
            (inner / "model.safetensors.index.json").write_text(json.dumps(index))
            (inner / "model.safetensors").unlink()
        modules = [("Transformer", "0_Transformer" if layout == "subfolder" else ""), ("Pooling", "1_Pooling")]
        kinds = [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (kind, path) in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(kinds))
        return folder

    return lay


@pytest.mark.parametrize("layout", ["flat", "subfolder", "sharded"])
def test_layouts(placed, study_of, layout):
    model = ModelFiles(placed(layout))
    assert (model.positions, model.rows, model.dimensions) == (40, 60, 16)
    lengths = {"encoding": {"max_length": 40}, "variants": {name: {"max_length": 40} for name in ("full_bm25",)}}
    study = study_of({"variants": {"full_hard": None, "lora_bm25": None, "lora_hard": None}}, lengths)
    check_model(study, "base", model, thoroughly=True)
    for more, key in (
        ({"encoding": {"max_length": 41}}, "encoding.max_length"),
        ({"variants": {"full_bm25": {"max_length": 41}}}, "variants.full_bm25.max_length"),
        ({"protocol": {"collection": "pydocs", "split": "test", "max_lengths": [16, 41]}}, "protocol.max_lengths"),
    ):
        study = study_of({"variants": {"full_hard": None, "lora_bm25": None, "lora_hard": None}}, lengths, more)
        with pytest.raises(BackfireError, match=rf"{key}: 41 tokens, but .* has positions for 40") as caught:
            check_model(study, "base", model)
        assert "at most 40" in caught.value.hint


def lora_on(study_of, targets):
    return study_of({"variants": {"lora_bm25": {"lora": {"target_modules": targets}}}})


def test_targets_of_adapters(study_of, base_model):
    model = ModelFiles(base_model)
    for targets in (["query", "value"], ["attention.output.dense"], ["encoder.layer.0.attention.self.key"], ["dense"]):
        check_model(lora_on(study_of, targets), "base", model)
    for targets, unknown in ((["query", "valu"], "valu"), (["q_proj", "v_proj"], "q_proj, v_proj"), (["uery"], "uery"),
                             (["word_embeddings"], "word_embeddings"), (["LayerNorm"], "LayerNorm")):  # fmt: skip
        with pytest.raises(
            BackfireError, match=rf"lora_bm25.lora.target_modules: {unknown} is no linear layer"
        ) as caught:
            check_model(lora_on(study_of, targets), "base", model)
        assert caught.value.hint == "its linear layers are named dense, key, query, value."


def test_what_adapters_of_peft_name_is_looked_for_as_well(study_of, base_model, tmp_path):
    """Patterns are of the names that layers have once loaded, whatever a file puts before them."""

    def look(folder, **lora):
        check_model(study_of({"variants": {"lora_bm25": {"lora": lora}}}), "base", ModelFiles(folder))

    named = shutil.copytree(base_model, tmp_path / "named")
    weights = load_file(named / "model.safetensors")
    save_file({f"bert.{name}": tensor for name, tensor in weights.items()}, named / "model.safetensors")
    for folder in (base_model, named):
        look(folder, use_dora=True)
        look(folder, target_modules="all-linear", exclude_modules=["pooler.dense"])
        look(folder, target_modules=r"encoder\.layer\.[45]\..*(query|value)")
        look(folder, layers_to_transform=[0, 5], rank_pattern={"layer.5.attention.self.query": 16})
        for lora, said in (
            ({"target_modules": r"layer\.[45]\..*query"}, r"'layer\S+query' is the whole name of no linear layer"),
            ({"exclude_modules": ["classifier"]}, "exclude_modules: classifier is no linear layer"),
            ({"layers_to_transform": [5, 6]}, "layers_to_transform: 6 is no layer"),
            (
                {"alpha_pattern": {"layer.6.attention.self.query": 4}},
                "alpha_pattern: 'layer.6.* means no adapted layer",
            ),
        ):
            with pytest.raises(BackfireError, match=rf"variants.lora_bm25.lora.*{said}"):
                look(folder, **lora)


def test_a_tokenizer_with_more_tokens_than_vectors(study_of, base_model, tmp_path):
    local = shutil.copytree(base_model, tmp_path / "model")
    study = study_of()
    check_model(study, "base", ModelFiles(local), thoroughly=True)
    tokenizer = json.loads((local / "tokenizer.json").read_text())
    token = dict(tokenizer["added_tokens"][0], id=30522, content="[MINE]")
    tokenizer["added_tokens"].append(token)
    (local / "tokenizer.json").write_text(json.dumps(tokenizer))
    check_model(study, "base", ModelFiles(local))
    with pytest.raises(
        BackfireError, match=r"has 30522 token vectors, but its tokenizer gives '\[MINE\]' the number 30522"
    ):
        check_model(study, "base", ModelFiles(local), thoroughly=True)


@pytest.mark.parametrize("file", ["config.json", "modules.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"null", b'{"a"', b"\xff" * 40])
def test_what_cannot_be_read_is_left_to_the_job_that_loads_it(study_of, base_model, tmp_path, file, content):
    local = shutil.copytree(base_model, tmp_path / "model")
    (local / file).unlink()
    if content is not None:
        (local / file).write_bytes(content)
    check_model(study_of(), "base", ModelFiles(local), thoroughly=True)


def taken(folder, name="other", **settings):
    return {"variants": {name: {"method": "none", "model": str(folder), **settings}}}


def test_a_model_more_is_looked_at_like_the_base(placed, study_of, tmp_path):
    """Its positions, also for what is trained from it; its weights' digest; its name."""
    small = placed("flat")
    with pytest.raises(BackfireError, match="encoding.max_length: 128 tokens, but .* has positions for 40"):
        check_study(study_of(taken(small)))
    short = {"encoding": {"max_length": 40}, "variants": {"full_hard": {"start_from": "other"}}}
    with pytest.raises(BackfireError, match="variants.full_hard.max_length: 96 tokens, but .* for 40"):
        check_study(study_of(taken(small), short))
    short["variants"]["full_hard"]["max_length"] = 40
    check_study(study_of(taken(small), short))
    with pytest.raises(BackfireError, match=r"SHA-256 .* expected 0000") as caught:
        check_study(study_of(taken(small, model_sha256="0" * 64), short), thoroughly=True)
    assert "model_sha256" in caught.value.hint and "base_model" not in caught.value.hint
    with pytest.raises(BackfireError, match=r"variants.other.model: the folder '/no/where' does not exist"):
        check_study(study_of(taken("/no/where")))
    with pytest.raises(BackfireError, match=r"variants.other.model: '.*' is neither a folder nor a name"):
        check_study(study_of(taken("not a name")))


def test_a_mix_of_models_of_other_shapes_is_refused_before_the_first_job(placed, study_of, base_model):
    small = placed("flat")
    mix = {"encoding": {"max_length": 40}, "variants": {"half": {"method": "mix", "of": ["other", "full_hard"]}}}
    with pytest.raises(BackfireError, match=r"variants.half.of: the models of 'base' and 'other' have not") as caught:
        check_study(study_of(taken(small), mix))
    assert "[384] and [16]" in caught.value.message and "one and the same base" in caught.value.hint
    check_study(study_of(taken(base_model), mix))


def test_a_family_that_wants_prompts_is_told_before_the_first_job(base_model, study_of, tmp_path):
    folder = shutil.copytree(base_model, tmp_path / "e5-small-v2")
    (line,) = check_study(study_of(taken(folder)))
    assert line.startswith("variants.other: ") and 'want prompts: {query: "query: ", passage: "passage: "}' in line
    assert check_study(study_of(taken(folder, prompts={"query": "query: "}))) == []


def test_a_run_that_is_not_there_is_told_before_the_first_job(study_of, tmp_path):
    (tmp_path / "test.trec").write_text("q Q0 d 1 1 tag")
    runs = {"pydocs/test": str(tmp_path / "test.trec"), "pydocs/unseen": str(tmp_path / "lost.trec")}
    with pytest.raises(BackfireError, match=r"variants.given.runs.pydocs/unseen: there is no file '.*lost.trec'"):
        check_study(study_of({"variants": {"given": {"method": "run", "runs": runs}}}))
