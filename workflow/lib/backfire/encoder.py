"""Models that turn token ids into unit vectors, with as little import time as their layout allows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backfire.errors import BackfireError
from backfire.static import StaticEncoder, load_static, static_module

if TYPE_CHECKING:
    import torch

# Texts are padded to a multiple of this many tokens. With whole AVX-512 vectors of floats, matrix kernels on a CPU sum
# in the same order whatever the batch: the bits of a text's vector then depend on the text alone.
PADDING = 16


class Encoder:
    """A tokenizer and a forward pass; `embed` gives unit rows in fp32 whatever the precision of the transformer."""

    def __init__(self, tokenizer, forward, device: "torch.device", prompts: dict[str, str] | None = None):
        """`forward` maps a dict of (batch, length) int64 tensors to (batch, dimensions) pooled vectors."""
        self.tokenizer = tokenizer
        self.device = device
        self._forward = forward
        self._prompts = prompts or {}

    def tokenize(self, texts: list[str], kind: str, max_length: int) -> list[list[int]]:
        """Token ids of each text, cut at `max_length`, behind the model's own prompt for `kind` (query or document)."""
        limit = self.tokenizer.model_max_length
        if max_length > limit:
            raise BackfireError(
                f"max_length: {max_length} tokens, but this model takes at most {limit}.",
                "lower encoding.max_length or the variant's max_length.",
            )
        prompt = self._prompts.get(kind, "")
        return self.tokenizer([prompt + text for text in texts], truncation=True, max_length=max_length)["input_ids"]

    def embed(self, batch: list) -> np.ndarray:
        """Unit vectors of shape (len(batch), dimensions), float32, of texts given as sequences of token ids."""
        import torch

        length = padded(max(map(len, batch)))
        ids = np.full((len(batch), length), self.tokenizer.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros((len(batch), length), dtype=np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode():
            pooled = self._forward({name: tensor.to(self.device) for name, tensor in features.items()})
            # Copying to the host waits for a GPU to finish.
            return torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()


def padded(length: int) -> int:
    """The number of tokens that a text of `length` tokens is padded to."""
    return -(-length // PADDING) * PADDING


def pick_device() -> "torch.device":
    """The GPU where there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype(precision: str, device: "torch.device") -> "torch.dtype":
    """The arithmetic that `precision` (auto, fp32, bf16, fp16) means on a device.

    `auto` is fp16 on a GPU, bf16 on a CPU that multiplies it natively (AVX-512 BF16 or AMX), fp32 elsewhere.
    Raises `BackfireError` for fp16 on a CPU.
    """
    import torch

    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if native_bf16() else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise BackfireError("encoding.precision: fp16 on a CPU.", "use auto, bf16 or fp32; fp16 needs a GPU.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def native_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX-512 BF16 or AMX); emulated, it would be slower than fp32."""
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def load_encoder(
    folder: str | Path, precision: str, device: "torch.device | None" = None, adapter: str | Path | None = None
) -> Encoder | StaticEncoder:
    """Load a model in sentence-transformers layout for encoding.

    A transformer with mean or first-token pooling is run by transformers alone, which saves the seconds that
    importing sentence-transformers takes, and static embeddings by numpy; any other layout is run by
    sentence-transformers. With the folder of a
    LoRA `adapter` its update is applied beside the model's weights instead of being merged into them.
    """
    folder = Path(folder)
    prompts = _prompts(folder)
    static = static_module(folder)
    if static is not None:
        return load_static(static, precision, prompts)
    device = device or pick_device()
    dtype = pick_dtype(precision, device)
    pooling = _plain_pooling(folder)
    quiet_transformers()
    if pooling is None:
        return _by_sentence_transformers(folder, dtype, device, prompts, adapter)
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=dtype, use_safetensors=True, add_pooling_layer=False)
    model = _adapted(model, adapter, dtype)
    return Encoder(tokenizer, pooled_forward(model.eval().to(device), pooling), device, prompts)


def quiet_transformers() -> None:
    """Send what transformers reports to the job's log instead of the terminal, and show no bars of its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.disable_default_handler()
    logging.enable_propagation()


def pooled_forward(model, pooling: str):
    """A forward pass through a transformer followed by `mean` or `cls` pooling in fp32."""

    def forward(features: dict[str, Any]) -> "torch.Tensor":
        hidden = model(**features).last_hidden_state.float()
        if pooling == "cls":
            return hidden[:, 0]
        weights = features["attention_mask"].unsqueeze(-1).float()
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)

    return forward


def sentence_transformer_forward(model):
    """A forward pass through every module of a loaded SentenceTransformer."""

    def forward(features: dict[str, Any]) -> "torch.Tensor":
        return model(features)["sentence_embedding"]

    return forward


def _by_sentence_transformers(folder: Path, dtype, device, prompts, adapter) -> Encoder:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=str(device), model_kwargs={"dtype": dtype, "use_safetensors": True})
    model[0].model = _adapted(model[0].model, adapter, dtype).to(device)
    return Encoder(model.tokenizer, sentence_transformer_forward(model.eval()), device, prompts)


def _adapted(transformer, adapter: str | Path | None, dtype: "torch.dtype"):
    """The transformer with a LoRA adapter beside its weights, or as it is."""
    if adapter is None:
        return transformer
    from peft import PeftModel

    return PeftModel.from_pretrained(transformer, str(adapter)).to(dtype)


def _plain_pooling(folder: Path) -> str | None:
    """`mean` or `cls` for the layout Transformer, Pooling[, Normalize]; None for any other."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    architecture = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type") if kinds else None
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or architecture != "bert":
        return None
    config = json.loads((folder / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
    if not config.get("include_prompt", True):
        return None
    if "pooling_mode" in config:
        mode = config["pooling_mode"]
        return mode if mode in {"mean", "cls"} else None
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    return (
        {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}.get(chosen[0])
        if len(chosen) == 1
        else None
    )


def _prompts(folder: Path) -> dict[str, str]:
    """The prompts a model names for queries and documents; without one, text goes in as it is."""
    try:
        config = json.loads((folder / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    named = config.get("prompts") or {}
    default = named.get(config.get("default_prompt_name") or "", "")
    document = next((named[key] for key in ("document", "passage", "corpus") if key in named), default)
    return {"query": named.get("query", default), "document": document}
