"""BERT (Devlin et al. 2019, arXiv 1810.04805) in torch alone, for encoding and for training.

Importing a library of models takes longer than a small job has work to do, so the one architecture that most sentence
encoders share is written out here; any other layout goes through sentence-transformers. Tests hold the two equal.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from backfire.encoders.folders import WEIGHTS, modules_of, read_settings
from backfire.errors import BackfireError
from backfire.formats.weights import read_weights

# What transformers' BertConfig takes for keys that the first configurations do not have.
_DEFAULTS = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}


class Bert(nn.Module):
    """The encoder without its pooler; parameters have the names they have in `model.safetensors`.

    Built of plain `Linear`, `LayerNorm`, `Embedding` and `Dropout` modules, so that adapters can wrap a layer by its
    name and dropout can be set. Starts in evaluation mode.
    """

    def __init__(self, config: dict):
        """`config` is the content of config.json."""
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states (batch, length, hidden) of token ids and their mask, both (batch, length).

        fp32, whatever the precision of the matrix products (see `narrow`).
        """
        hidden = self.embeddings(input_ids)
        # Looking at the mask would make the host wait for a GPU.
        whole = attention_mask.device.type == "cpu" and attention_mask.all()
        mask = None if whole else attention_mask.bool()
        for layer in self.encoder.layer:
            hidden = layer(hidden, mask)
        return hidden


class _Embeddings(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        size = config["hidden_size"]
        self.word_embeddings = _table(config["vocab_size"], size)
        self.position_embeddings = _table(config["max_position_embeddings"], size)
        self.token_type_embeddings = _table(config["type_vocab_size"], size)
        self.LayerNorm = nn.LayerNorm(size, eps=config["layer_norm_eps"])
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, input_ids: Tensor) -> Tensor:
        length = input_ids.shape[1]
        summed = self.word_embeddings(input_ids) + self.position_embeddings.weight[:length]
        return self.dropout(self.LayerNorm(summed + self.token_type_embeddings.weight[0]))


def _table(rows: int, size: int) -> nn.Embedding:
    """An embedding whose weights are not drawn: they are read from a file. Drawing normal numbers for a tensor on the
    meta device loads torch._dynamo, as long as all else that a job of a few seconds does."""
    return nn.Embedding.from_pretrained(torch.empty(rows, size), freeze=False)


class _Layer(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        size, inner = config["hidden_size"], config["intermediate_size"]
        self.attention = nn.Module()
        self.attention.self = _SelfAttention(config)
        self.attention.output = _Output(size, config)
        self.intermediate = _Intermediate(size, inner)
        self.output = _Output(inner, config)

        self.dtype = torch.float32

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.attention.output(self.attention.self(hidden.to(self.dtype), mask), hidden)
        return self.output(self.intermediate(hidden.to(self.dtype)), hidden)


class _Intermediate(nn.Module):
    def __init__(self, size: int, inner: int):
        super().__init__()
        self.dense = nn.Linear(size, inner)

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.gelu(self.dense(hidden))


class _SelfAttention(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        size = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.dropout = nn.Dropout(config["attention_probs_dropout_prob"])

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, size = hidden.shape
        split = (batch, length, self.heads, size // self.heads)
        query, key, value = (part(hidden).view(split).transpose(1, 2) for part in (self.query, self.key, self.value))
        # By mode and not by whether there is a gradient: a step that looks first sees the same bits twice.
        if hidden.device.type == "cpu" and self.training:
            mixed = self._by_products(query, key, value, mask)
        else:
            mixed = nn.functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=None if mask is None else mask[:, None, None],
                dropout_p=self.dropout.p if self.training else 0.0,
            )
        return mixed.transpose(1, 2).reshape(batch, length, size)

    def _by_products(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention as two matrix products.

        The backward pass of the fused kernel is several times slower in bf16 on a CPU, and it knows no dropout. Forward
        alone the fused one is faster, since no block of scores leaves the caches.
        """
        batch, heads, length, width = query.shape
        query = query / math.sqrt(width)
        query, key, value = (part.reshape(batch * heads, length, width) for part in (query, key, value))
        scores = torch.bmm(query, key.transpose(1, 2))
        if mask is not None:
            scores.view(batch, heads, length, length).masked_fill_(~mask[:, None, None], -1e4)
        mixed = torch.bmm(self.dropout(torch.softmax(scores, dim=-1)), value)
        return mixed.view(batch, heads, length, width)


class _Output(nn.Module):
    """A linear layer whose result is added to what went before, and normalised."""

    def __init__(self, inputs: int, config: dict):
        super().__init__()
        self.dense = nn.Linear(inputs, config["hidden_size"])
        self.LayerNorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, hidden: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(hidden)) + before)


def load_bert(folder: Path) -> Bert:
    """The model of a folder for which `plain_pooling` gives an answer: fp32, on the CPU, in evaluation mode.

    Raises `BackfireError` for any other, and for weights that are not those that config.json describes.
    """
    if plain_pooling(folder) is None:
        raise BackfireError("it is no BERT with mean or first-token pooling", "it is run by sentence-transformers.")
    place = modules_of(folder)[0][1]
    with torch.device("meta"):
        model = Bert(_DEFAULTS | read_settings(place / "config.json"))
    weights = {name.removeprefix("bert."): tensor for name, tensor in read_weights(place / WEIGHTS).items()}
    wanted = model.state_dict()
    if lacking := sorted(wanted.keys() - weights.keys()):
        raise BackfireError(
            f"{place / WEIGHTS}: holds no {lacking[0]} ({len(lacking)} weights are missing).",
            "the weights are not those that config.json describes; give a folder that save_pretrained wrote.",
        )
    model.load_state_dict({name: weights[name].float() for name in wanted}, assign=True)
    return model


def narrow(model: Bert, dtype: torch.dtype) -> None:
    """Let every layer multiply in `dtype`; what is summed between products, and norms, stay in fp32.

    Sums in bf16 would cost as much time, and a third more of the error against fp32.
    """
    for layer in model.encoder.layer:
        layer.dtype = dtype
        for module in layer.modules():
            if not isinstance(module, nn.LayerNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)


def pack(model: Bert) -> None:
    """Lay out the weights of every linear layer as the CPU's matrix kernels read them; for inference only.

    Otherwise they are laid out again in every call. The operators are those that torch's compiler puts in for frozen
    weights; a build without them, or a CPU that they do not serve in this arithmetic, keeps its layers. The bits do not
    depend on the batch, packed or not.
    """
    if not _can_pack(model.encoder.layer[0].output.dense.weight.dtype):
        return
    for layer in model.encoder.layer:
        layer.intermediate = _Packed(layer.intermediate.dense, "gelu")
        for parent in (layer.output, layer.attention.output):
            parent.dense = _Packed(parent.dense)
        for name in ("query", "key", "value"):
            setattr(layer.attention.self, name, _Packed(getattr(layer.attention.self, name)))


def _can_pack(dtype: torch.dtype) -> bool:
    """Whether these operators work in `dtype` here: bf16 takes a CPU with AVX-512, as oneDNN understands it."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    try:
        with torch.inference_mode():
            _Packed(nn.Linear(16, 16, dtype=dtype))(torch.zeros(1, 16, dtype=dtype))
    except RuntimeError:
        return False
    return True


class _Packed(nn.Module):
    """A linear layer, and an activation, with weights laid out for batches of about `ROWS` tokens."""

    ROWS = 2048

    def __init__(self, linear: nn.Linear, activation: str = "none"):
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), self.ROWS)
        self.bias = linear.bias.detach()
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        # "none" as the algorithm of gelu is the exact one, by the error function.
        return torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.bias, self.activation, [], "none")


def plain_pooling(folder: Path) -> str | None:
    """`mean` or `cls` where the folder holds such a BERT with modules Transformer, Pooling[, Normalize]; else None."""
    modules = modules_of(folder)
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    config = read_settings(modules[0][1] / "config.json")
    usual = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
    if any(config.get(key, value) != value for key, value in usual.items()) or not (modules[0][1] / WEIGHTS).is_file():
        return None
    return _pooling(read_settings(modules[1][1] / "config.json"))


def pool(hidden: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """Vectors (batch, hidden) in fp32: the first token's hidden state (`cls`), or the mean over a text's tokens."""
    hidden = hidden.float()
    if pooling == "cls":
        return hidden[:, 0]
    weights = attention_mask.unsqueeze(-1).float()
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


def _pooling(config: dict) -> str | None:
    if not config.get("include_prompt", True):
        return None
    if "pooling_mode" in config:
        return config["pooling_mode"] if config["pooling_mode"] in {"mean", "cls"} else None
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    named = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    return named.get(chosen[0]) if len(chosen) == 1 else None
