"""Models that turn token ids into unit vectors, with as little import time as their layout allows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backfire.device import pick_device, pick_dtype
from backfire.resources import processor
from backfire.static import StaticEncoder, load_static, static_module
from backfire.tokens import ModelTokenizer, Tokens, load_tokenizer

if TYPE_CHECKING:
    import torch


class Encoder:
    """A tokenizer and a forward pass; `embed` gives unit rows in fp32 whatever the precision of the transformer."""

    def __init__(self, tokenizer: ModelTokenizer, forward, device: "torch.device"):
        """`forward` maps ids and mask, (batch, length) int64 tensors, to (batch, dimensions) pooled vectors."""
        self.tokenizer = tokenizer
        self.device = device
        self._forward = forward

    @property
    def batch_tokens(self) -> int:
        """Tokens that a batch holds best: on a CPU what its caches hold, on a GPU enough to keep it busy."""
        return 2048 if self.device.type == "cpu" else 65536

    def tokenize(self, texts: list[str], kind: str, max_length: int) -> Tokens:
        """Token ids of each text (see `ModelTokenizer.tokenize`)."""
        return self.tokenizer.tokenize(texts, kind, max_length)

    def embed(self, tokens: Tokens, rows=None) -> np.ndarray:
        """Unit vectors of shape (texts, dimensions), float32, of the texts in `rows`, or of all."""
        import torch

        ids, mask = map(torch.from_numpy, tokens.padded(range(len(tokens)) if rows is None else rows))
        with torch.inference_mode():
            pooled = self._forward(ids.to(self.device), mask.to(self.device))
            # Copying to the host waits for a GPU to finish.
            return torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()


def arithmetic(folder: str | Path, precision: str) -> list[str]:
    """What decides the last bits of a model's vectors beside its files: the kind of device, and what it computes in."""
    if static_module(Path(folder)) is not None:
        return ["numpy", *processor()]
    import torch

    device = pick_device()
    kind = [torch.cuda.get_device_name(device)] if device.type == "cuda" else processor()
    return [device.type, *kind, str(pick_dtype(precision, device))]


def load_encoder(
    folder: str | Path, precision: str, device: "torch.device | None" = None, adapter: str | Path | None = None
) -> Encoder | StaticEncoder:
    """Load a model in sentence-transformers layout for encoding.

    A BERT with mean or first-token pooling is run by torch alone (see `bert`) and static embeddings by numpy, which
    saves the seconds that importing sentence-transformers takes; any other layout is run by sentence-transformers.
    With the folder of a LoRA `adapter` its update is applied beside the model's weights instead of being merged into
    them.
    """
    folder = Path(folder)
    if static_module(folder) is not None:
        return load_static(folder, precision)
    device = device or pick_device()
    dtype = pick_dtype(precision, device)
    from backfire.bert import load_bert, narrow, pack, plain_pooling, pool

    pooling = plain_pooling(folder)
    if pooling is None:
        return _by_sentence_transformers(folder, dtype, device, adapter)
    model = load_bert(folder)
    _adapt(model, adapter)
    narrow(model, dtype)
    model.to(device)
    if device.type == "cpu" and adapter is None:
        pack(model)
    return Encoder(load_tokenizer(folder), lambda ids, mask: pool(model(ids, mask), mask, pooling), device)


def quiet_transformers() -> None:
    """Send what transformers reports to the job's log instead of the terminal, and show no bars of its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.disable_default_handler()
    logging.enable_propagation()


def sentence_transformer_forward(model):
    """A forward pass through every module of a loaded SentenceTransformer; all behind the transformer in fp32."""
    transformer, *rest = model

    def forward(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        # Some models take their positions from the padding.
        ids = ids.masked_fill(mask == 0, model.tokenizer.pad_token_id or 0)
        features: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        output = transformer(features)
        output["token_embeddings"] = output["token_embeddings"].float()
        for module in rest:
            output = module(output)
        return output["sentence_embedding"]

    return forward


def _by_sentence_transformers(folder: Path, dtype, device, adapter) -> Encoder:
    quiet_transformers()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=str(device), model_kwargs={"use_safetensors": True})
    _adapt(model[0].model, adapter)
    model[0].to(dtype)
    model.to(device)
    return Encoder(load_tokenizer(folder), sentence_transformer_forward(model.eval()), device)


def _adapt(transformer, adapter: str | Path | None) -> None:
    """Put a LoRA adapter beside the transformer's weights, where one is given."""
    if adapter is not None:
        from backfire.lora import apply_adapter

        apply_adapter(transformer, Path(adapter))
