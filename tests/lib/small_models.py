"""Sentence encoders of many layouts, two layers small, with random weights: real models as their files go.

`LAYOUTS` names for each what builds it and by which path Backfire is to run it. A layout's transformer is written
by transformers and its modules by sentence-transformers, so that the files are those that users have.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import small_tokenizers as tokenizers
import torch
from safetensors.torch import load_file, save_file
from small_tokenizers import LIMIT

SIZE = 32
_SHAPE = {"hidden_size": SIZE, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


@dataclass(frozen=True)
class Layout:
    """A kind of model: its transformer and tokenizer, the modules behind it, and the path that is expected."""

    transformer: Callable[[Path], tuple]
    behind: Callable[[], list] = field(default=lambda: [pooling()])
    tokens: str = "fast"
    forward: str = "library"
    options: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Path], None] | None = None
    # Names of linear layers that an adapter goes to; none where the model is not trained by one.
    targets: tuple[str, ...] = ("query", "value")

    def build(self, folder: Path) -> Path:
        """Write the model to a folder, as its makers would."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Transformer

        base = folder.with_name(f"{folder.name}-base")
        base.mkdir(parents=True)
        torch.manual_seed(7)
        transformer, tokenizer = self.transformer(base)
        save_transformer(transformer, tokenizer, base)
        model = SentenceTransformer(modules=[Transformer(str(base)), *self.behind()], device="cpu", **self.options)
        save(model, folder)
        shutil.rmtree(base)
        if self.edit is not None:
            self.edit(folder)
        return folder


@torch.no_grad()
def drawn(model):
    """Every weight drawn anew: as libraries start them, biases are zero and all texts get nearly the same vector."""
    for name, weight in sorted(model.named_parameters()):
        if weight.ndim > 1:
            weight.normal_(0, 0.25)
        else:
            weight.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
    return model.eval()


def save_transformer(model, tokenizer, folder: Path, **options) -> None:
    drawn(model).save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)


def save(model, folder: Path) -> None:
    model.save_pretrained(str(folder), create_model_card=False)


def pooling(mode="mean", size=SIZE, **options):
    from sentence_transformers.sentence_transformer.modules import Pooling

    return Pooling(size, mode, **options)


def modules():
    from sentence_transformers.sentence_transformer import modules

    return modules


def dense(activation, outputs=12, bias=True):
    layer = modules().Dense(SIZE, outputs, bias=bias, activation_function=activation())
    return drawn(layer)


def change(folder: Path, name: str, **keys) -> None:
    """Set keys of a JSON file of a model."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def restored(folder: Path, dtype: torch.dtype | None = None, rename: Callable[[str], str] = lambda name: name) -> None:
    """Write all weights of a model once more, in another precision or under other names."""
    for file in folder.rglob("*.safetensors"):
        weights = {
            rename(name): tensor if dtype is None else tensor.to(dtype) for name, tensor in load_file(file).items()
        }
        save_file(weights, file, metadata={"format": "pt"})


def _stored_in(dtype: torch.dtype) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        restored(folder, dtype)
        change(folder, "config.json", dtype=str(dtype).removeprefix("torch."))

    return edit


def _special(tokenizer) -> dict[str, int]:
    named = {"pad": tokenizer.pad_token_id, "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    return {f"{key}_token_id": value for key, value in named.items() if value is not None}


def _made(kind: str, tokenizer: Callable, positions: int | None = LIMIT, **options) -> Callable[[Path], tuple]:
    """A function that makes a model of transformers, `kind` of `kindModel` and `kindConfig`, and its tokenizer."""

    def make(_folder: Path) -> tuple:
        import transformers

        text = tokenizer()
        settings = _SHAPE | {"vocab_size": len(text)} | _special(text) | options
        if positions is not None:
            settings["max_position_embeddings"] = positions
        settings = {key: value for key, value in settings.items() if value is not None}
        config = getattr(transformers, f"{kind.split('/')[0]}Config")(**settings)
        return getattr(transformers, kind.replace("/", "") if "/" in kind else f"{kind}Model")(config), text

    return make


def _japanese(folder: Path) -> tuple:
    from transformers import BertConfig, BertModel

    tokenizer = tokenizers.characters(folder)
    return BertModel(BertConfig(**_SHAPE, vocab_size=len(tokenizer), max_position_embeddings=LIMIT)), tokenizer


BERT = _made("Bert", tokenizers.wordpiece)
_CASED = _made("Bert", lambda: tokenizers.wordpiece(lowercase=False))
_ROBERTA = _made("Roberta", tokenizers.byte_level, positions=LIMIT + 2)
_T5 = {"d_model": SIZE, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 1}
_T5 |= dict.fromkeys(["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"])
_DECODER = {"num_key_value_heads": 1, "head_dim": 16}
_PROMPTS = {"prompts": {"query": "a question: ", "document": "an answer: "}}


def _pieces():
    return tokenizers.unigram(first=None, last="</s>", special=("<pad>", "</s>", "<unk>"))


def _ending():
    return tokenizers.byte_level(first=None, last="<|endoftext|>", pad="<pad>", padding_side="left")


def _starting():
    return tokenizers.unigram(first="<s>", last=None, special=("<pad>", "<s>", "</s>", "<unk>"))


def _without_padding():
    return tokenizers.byte_level(first=None, last="<|endoftext|>", pad=None)


def _thin(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    kept = {"model_type", "vocab_size", "max_position_embeddings", *_SHAPE}
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in sorted(kept)}))


def _old_names(folder: Path) -> None:
    restored(
        folder,
        rename=lambda name: f"bert.{name}".replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"),
    )


def _old_layout(folder: Path) -> None:
    """The transformer in a folder of its own, as sentence-transformers wrote it before 2.0."""
    place = folder / "0_Transformer"
    place.mkdir()
    for file in list(folder.iterdir()):
        if file.is_file() and file.name not in {"modules.json", "config_sentence_transformers.json"}:
            file.rename(place / file.name)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = place.name
    (folder / "modules.json").write_text(json.dumps(listed))


def _old_pooling(folder: Path) -> None:
    modes = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    written = {f"pooling_mode_{mode}": chosen for mode, chosen in modes.items()} | {"word_embedding_dimension": SIZE}
    (folder / "1_Pooling/config.json").write_text(json.dumps(written))


def _sharded(folder: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


def _bare(folder: Path) -> None:
    """What transformers writes, without a word of sentence-transformers."""
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "1_Pooling")


def _lower_by_second_file(folder: Path) -> None:
    change(folder, "sentence_bert_config.json", do_lower_case=True)


def _cut_left(folder: Path) -> None:
    change(folder, "tokenizer_config.json", truncation_side="left")


LAYOUTS: dict[str, Layout] = {
    "bert-mean": Layout(BERT, forward="bert"),
    "bert-cls": Layout(BERT, lambda: [pooling("cls"), modules().Normalize()], forward="bert"),
    "bert-max": Layout(BERT, lambda: [pooling("max")]),
    "bert-mean-sqrt": Layout(BERT, lambda: [pooling("mean_sqrt_len_tokens")]),
    "bert-weightedmean": Layout(BERT, lambda: [pooling("weightedmean")]),
    "bert-lasttoken": Layout(BERT, lambda: [pooling("lasttoken")]),
    "bert-concatenated": Layout(BERT, lambda: [pooling(("cls", "mean", "max")), modules().Normalize()]),
    "bert-old-pooling": Layout(BERT, forward="bert", edit=_old_pooling),
    "bert-normalize": Layout(BERT, lambda: [pooling(), modules().Normalize()], forward="bert"),
    "bert-dense": Layout(BERT, lambda: [pooling(), dense(torch.nn.Identity)]),
    "bert-dense-tanh-fp16": Layout(
        BERT, lambda: [pooling("cls"), dense(torch.nn.Tanh), modules().Normalize()], edit=_stored_in(torch.float16)
    ),
    "bert-dense-no-bias": Layout(BERT, lambda: [pooling(), dense(torch.nn.Identity, 40, bias=False)]),
    "bert-layer-norm": Layout(BERT, lambda: [pooling(), modules().Dropout(0.3), drawn(modules().LayerNorm(SIZE))]),
    "bert-fp16": Layout(BERT, forward="bert", edit=_stored_in(torch.float16)),
    "bert-bf16": Layout(BERT, forward="bert", edit=_stored_in(torch.bfloat16)),
    "bert-old-layout": Layout(BERT, forward="bert", edit=_old_layout),
    "bert-thin-config": Layout(BERT, forward="bert", edit=_thin),
    "bert-old-names": Layout(BERT, edit=_old_names),
    "bert-sharded": Layout(BERT, edit=_sharded),
    "bert-masked-lm": Layout(_made("Bert/ForMaskedLM", tokenizers.wordpiece), forward="bert"),
    "bert-relu": Layout(_made("Bert", tokenizers.wordpiece, hidden_act="relu")),
    "bert-bare": Layout(BERT, edit=_bare),
    "bert-cased": Layout(_CASED, forward="bert"),
    "bert-lower-by-second-file": Layout(_CASED, tokens="library", forward="bert", edit=_lower_by_second_file),
    "bert-cut-left": Layout(BERT, tokens="library", forward="bert", edit=_cut_left),
    "bert-prompts": Layout(BERT, forward="bert", options=_PROMPTS),
    "bert-default-prompt": Layout(
        BERT, forward="bert", options={"prompts": {"one": "a text: "}, "default_prompt_name": "one"}
    ),
    "bert-prompts-left-out": Layout(BERT, lambda: [pooling(include_prompt=False)], options=_PROMPTS),
    "bert-prompts-left-out-weightedmean": Layout(
        BERT, lambda: [pooling(("weightedmean", "cls"), include_prompt=False)], options=_PROMPTS
    ),
    "bert-truncated": Layout(BERT, options={"truncate_dim": 8}),
    "bert-dot": Layout(BERT, forward="bert", options={"similarity_fn_name": "dot"}),
    "bert-euclidean": Layout(BERT, forward="bert", options={"similarity_fn_name": "euclidean"}),
    "bert-slow-tokenizer": Layout(_japanese, tokens="library", forward="bert"),
    "bert-unigram": Layout(_made("Bert", tokenizers.unigram), forward="bert"),
    "roberta": Layout(_ROBERTA),
    "xlm-roberta": Layout(
        _made("XLMRoberta", tokenizers.unigram, positions=LIMIT + 2), lambda: [pooling("cls"), modules().Normalize()]
    ),
    "mpnet": Layout(
        _made("MPNet", lambda: tokenizers.wordpiece(True, "<s>", "</s>", "<pad>"), positions=LIMIT + 2),
        targets=("q", "v"),
    ),
    "distilbert": Layout(
        _made("DistilBert", tokenizers.wordpiece, dim=SIZE, hidden_dim=48, n_layers=2, n_heads=2),
        targets=("q_lin", "v_lin"),
    ),
    "albert": Layout(_made("Albert", tokenizers.unigram, embedding_size=16)),
    "electra": Layout(_made("Electra", tokenizers.wordpiece, embedding_size=16)),
    "modernbert": Layout(
        _made(
            "ModernBert",
            tokenizers.byte_level,
            local_attention=8,
            global_attn_every_n_layers=2,
            cls_token_id=0,
            sep_token_id=2,
        ),
        targets=("Wqkv",),
    ),
    "deberta-v2": Layout(
        _made(
            "DebertaV2",
            tokenizers.unigram,
            relative_attention=True,
            pos_att_type=["c2p", "p2c"],
            position_biased_input=False,
            max_relative_positions=16,
        ),
        targets=("query_proj", "value_proj"),
    ),
    "nomic-bert": Layout(_made("NomicBert", tokenizers.wordpiece), targets=("q_proj", "v_proj")),
    "t5-encoder": Layout(_made("T5/EncoderModel", _pieces, positions=None, **_T5), targets=("q", "v")),
    "t5-whole": Layout(
        _made("T5", _pieces, positions=None, **_T5), lambda: [pooling(), dense(torch.nn.Identity)], targets=("q", "v")
    ),
    "qwen3": Layout(
        _made("Qwen3", _ending, **_DECODER),
        lambda: [pooling("lasttoken"), modules().Normalize()],
        options=_PROMPTS,
        targets=("q_proj", "v_proj"),
    ),
    "llama": Layout(
        _made("Llama", _starting, num_key_value_heads=1),
        lambda: [pooling("weightedmean")],
        targets=("q_proj", "v_proj"),
    ),
    "gemma3": Layout(
        _made("Gemma3Text", _starting, **_DECODER, use_bidirectional_attention=True, sliding_window=8),
        lambda: [pooling(), dense(torch.nn.Identity), modules().Normalize()],
        targets=("q_proj", "v_proj"),
    ),
    "gpt2": Layout(
        _made("GPT2", _without_padding, n_positions=LIMIT, n_embd=SIZE, n_layer=2, n_head=2, n_inner=48),
        lambda: [pooling("lasttoken")],
        targets=(),
    ),
}


def static(folder: Path, normalize: bool = True, **options) -> Path:
    """A table of token vectors, whose tokenizer neither cuts nor adds anything."""
    from sentence_transformers import SentenceTransformer

    tokenizer = tokenizers.wordpiece()._tokenizer
    tokenizer.no_truncation()
    torch.manual_seed(7)
    table = modules().StaticEmbedding(tokenizer, embedding_weights=torch.randn(tokenizer.get_vocab_size(), 12))
    save(SentenceTransformer(modules=[table, *([modules().Normalize()] if normalize else [])], **options), folder)
    return folder


def router(folder: Path, query: str = "bert-mean", document: str = "bert-cls", **options) -> Path:
    """Queries and documents go through transformers of their own."""
    from sentence_transformers import SentenceTransformer

    sides = [list(SentenceTransformer(str(LAYOUTS[name].build(folder.with_name(name))))) for name in (query, document)]
    save(SentenceTransformer(modules=[modules().Router.for_query_document(*sides)], **options), folder)
    return folder


def cross_encoder(folder: Path, labels: int = 1, by_the_library: bool = True) -> Path:
    """The real MiniLM with a head over it that is drawn at random: a cross-encoder as its files go, that knows nothing.

    Written by sentence-transformers, or as transformers does, as most of those on the hub are.
    """
    from sentence_transformers import CrossEncoder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from backfire.encoders.folders import find_base

    base = find_base("sentence-transformers/all-MiniLM-L6-v2")
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    model.classifier.weight.data.normal_(0, 1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    if by_the_library:
        loaded = CrossEncoder(str(folder))
        shutil.rmtree(folder)
        loaded.save_pretrained(str(folder))
    return folder
