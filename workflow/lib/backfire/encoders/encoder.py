"""Models that turn token ids into vectors, with as little import time as their layout allows."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backfire.encoders.certificate import certificate_of
from backfire.encoders.device import pick_device, pick_dtype
from backfire.encoders.similarity import COSINE
from backfire.encoders.static import StaticEncoder, load_static, static_module
from backfire.encoders.tokens import ModelTokenizer, Tokens, fast_tokenizer
from backfire.jobs.resources import processor

if TYPE_CHECKING:
    import torch

    from backfire.encoders.library import LibraryTokenizer

Embedded = tuple[np.ndarray, np.ndarray]
"""Vectors (texts, dimensions) and their norms before they were scaled to unit length (texts,), both float32."""


class Encoder:
    """A tokenizer and a forward pass; `embed` gives rows in fp32 whatever the precision of the transformer."""

    def __init__(
        self,
        tokenizer: "ModelTokenizer | LibraryTokenizer | None",
        forward,
        device: "torch.device",
        similarity: str,
        arithmetic: str = "fp32",
    ):
        """`forward` maps ids and mask, (batch, length) int64 tensors, and a kind to (batch, dimensions) pooled vectors.

        `similarity`: what the vectors are for (see `encoders.similarity`); for cosine they are scaled to unit length
        here, so `forward` gives them as they are before any last module that does that. `arithmetic`: that of products.
        """
        self.tokenizer = tokenizer
        self.device = device
        self.arithmetic, self.similarity = arithmetic, similarity
        self._forward = forward

    @property
    def batch_tokens(self) -> int:
        """Tokens that a batch holds best: on a CPU what its caches hold, on a GPU enough to keep it busy."""
        return 2048 if self.device.type == "cpu" else 65536

    @property
    def steady_tokens(self) -> int:
        """Tokens that a batch must hold so that a text's bits do not depend on it.

        AMX splits the sum of a product that has few rows: measured on a Sapphire Rapids for sums over 384 to 4,096
        numbers, up to 640 rows. Elsewhere on a CPU any number will do; of a GPU nothing is promised.
        """
        import torch

        amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
        return 1024 if self.device.type == "cpu" and self.arithmetic != "fp32" and amx else 1

    def tokenize(self, texts: list[str], kind: str, max_length: int) -> Tokens:
        """Token ids of each text (see `ModelTokenizer.tokenize`)."""
        return self.tokenizer.tokenize(texts, kind, max_length)

    def embed(self, tokens: Tokens, kind: str, rows=None) -> Embedded:
        """Vectors (texts, dimensions) and norms (texts,), float32, of the texts in `rows`, or of all.

        `kind` is `query` or `document`. A norm is the Euclidean length of what enters the last scaling to unit length,
        by a Normalize module at a model's end or by this class: of the vector whose direction is given. Where nothing
        is scaled it is the length of the vector itself.
        """
        return self.begin(tokens, kind, rows)()

    def begin(self, tokens: Tokens, kind: str, rows=None) -> Callable[[], Embedded]:
        """As `embed`, given by what is returned: on a GPU that waits for it, and until then other work can be begun.

        A GPU copies to and from pinned memory while it computes. On a CPU all is done before this returns.
        """
        import torch

        ids, mask = map(torch.from_numpy, tokens.padded(range(len(tokens)) if rows is None else rows))
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            ids, mask = ids.pin_memory(), mask.pin_memory()
        with torch.inference_mode():
            ids, mask = (each.to(self.device, non_blocking=on_gpu) for each in (ids, mask))
            pooled = self._forward(ids, mask, kind).float()
            norms = torch.linalg.vector_norm(pooled, dim=1, dtype=torch.float64).float()
            vectors = torch.nn.functional.normalize(pooled, dim=1) if self.similarity == COSINE else pooled
            if not on_gpu:
                return lambda: (vectors.numpy(), norms.numpy())
            pair = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in (vectors, norms)]
            for target, each in zip(pair, (vectors, norms), strict=True):
                target.copy_(each, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(torch.cuda.current_stream(self.device))

        def finish() -> Embedded:
            copied.synchronize()
            return pair[0].numpy(), pair[1].numpy()

        return finish


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
    """Load a model for encoding in the arithmetic `precision`: fp32, bf16, fp16; static embeddings multiply nothing.

    It is run by the path that its certificate names (see `encoders.certificate`).

    A BERT with mean or first-token pooling is run by torch alone (see `bert`) and static embeddings by numpy, which
    saves the seconds that importing sentence-transformers takes; any other layout is run by sentence-transformers.
    With the folder of a LoRA `adapter` its update is applied beside the model's weights instead of being merged into
    them.
    """
    folder, found = Path(folder), certificate_of(folder)
    if found.forward == "static":
        return load_static(folder)
    device = device or pick_device()
    if found.forward == "bert":
        return bert_encoder(folder, precision, device, load_tokenizer(folder), found.similarity, adapter)
    from backfire.encoders.library import library_forward, load_library_model, narrow_products, transformers_of

    model = load_library_model(folder, device)
    for transformer in transformers_of(model)[:1]:
        _adapt(transformer.model, adapter)
    narrow_products(model, pick_dtype(precision, device))
    forward = library_forward(model, unit=found.similarity != COSINE)
    return Encoder(load_tokenizer(folder, model), forward, device, found.similarity, precision)


def load_tokenizer(folder: str | Path, model=None) -> "ModelTokenizer | LibraryTokenizer":
    """The tokenizer of a model, by the path that its certificate names; that of `model` where the library is to do it.

    `model`: what `load_library_model` gave for this folder, where it has been loaded already.
    """
    found = certificate_of(folder)
    if found.tokens == "fast":
        return fast_tokenizer(folder)
    from backfire.encoders.library import LibraryTokenizer, load_library_model

    return LibraryTokenizer(load_library_model(folder) if model is None else model, found.limit)


def bert_encoder(
    folder: Path,
    precision: str,
    device: "torch.device | str",
    tokenizer: "ModelTokenizer | LibraryTokenizer | None",
    similarity: str,
    adapter: str | Path | None = None,
) -> Encoder:
    """A BERT by torch alone. Raises `BackfireError` for a layout that `plain_pooling` does not know."""
    import torch

    from backfire.encoders.bert import load_bert, narrow, pack, plain_pooling, pool

    device, pooling = torch.device(device), plain_pooling(folder)
    model = load_bert(folder)
    _adapt(model, adapter)
    narrow(model, pick_dtype(precision, device))
    model.to(device)
    if device.type == "cpu" and adapter is None:
        pack(model)
    forward = lambda ids, mask, kind: pool(model(ids, mask), mask, pooling)  # noqa: E731
    return Encoder(tokenizer, forward, device, similarity, precision)


def _adapt(transformer, adapter: str | Path | None) -> None:
    """Put a LoRA adapter beside the transformer's weights, where one is given."""
    if adapter is not None:
        from backfire.encoders.adapters import apply_adapter

        apply_adapter(transformer, Path(adapter))
