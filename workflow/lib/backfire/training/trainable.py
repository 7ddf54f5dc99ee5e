"""A model in training: its weights, its forward pass, and how it is saved."""

import contextlib
import copy
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from backfire import lora
from backfire.bert import WEIGHTS, load_bert, narrow, pack, plain_pooling, pool
from backfire.device import native_bf16
from backfire.encoder import Encoder, quiet_transformers, sentence_transformer_forward
from backfire.errors import BackfireError
from backfire.static import static_module
from backfire.tokens import ModelTokenizer, load_tokenizer


class Trainable(ABC):
    """What all models in training have in common: `network` holds the weights, `transformer` is where adapters go.

    A network starts from the folder `start` on `device`. With `bf16` the transformer runs under autocast; its weights
    stay fp32, and so do pooling and all behind it, since bf16 keeps three digits of a cosine.
    """

    network: nn.Module
    transformer: nn.Module
    # Whether a text gets the same vector when it is embedded again in the same step.
    repeatable = False

    def __init__(self, start: Path, device: torch.device, bf16: bool):
        self.start, self.device, self.bf16 = start, device, bf16
        self.tokenizer: ModelTokenizer = load_tokenizer(start)

    def autocast(self):
        """The arithmetic of the transformer, as a context."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    @abstractmethod
    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Pooled vectors (batch, dimensions), fp32, of ids and mask, (batch, length) int64."""

    @abstractmethod
    def encoder(self) -> Encoder:
        """An encoder of the model as it is now, to be used before the next step."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model to `folder`, from where SentenceTransformer loads it; adapters have been merged."""


class PlainBert(Trainable):
    """A BERT with mean or first-token pooling, by torch alone."""

    def __init__(self, start: Path, device: torch.device, bf16: bool, pooling: str):
        super().__init__(start, device, bf16)
        self.network = self.transformer = load_bert(start).to(device)
        # The gradient of a part of a batch then touches the rows of its words, not the whole vocabulary.
        self.network.embeddings.word_embeddings.sparse = True
        self.pooling = pooling

    @property
    def repeatable(self) -> bool:
        """See `Trainable`: there is no dropout."""
        return not any(module.p for module in self.network.modules() if isinstance(module, nn.Dropout))

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See `Trainable.embed`."""
        with self.autocast():
            hidden = self.network(input_ids, attention_mask)
        return pool(hidden, attention_mask, self.pooling)

    def encoder(self) -> Encoder:
        """A copy of the model, as it would be loaded after training now."""
        network = copy.deepcopy(self.network).eval()
        lora.merge(network)
        if self.bf16:
            narrow(network, torch.bfloat16)
        if self.device.type == "cpu":
            pack(network)
        return Encoder(self.tokenizer, lambda ids, mask: pool(network(ids, mask), mask, self.pooling), self.device)

    def save(self, folder: Path) -> None:
        """Every file of the start but what Backfire noted about it, and the weights in their place."""
        from safetensors.torch import load_file, save_file

        for file in sorted(self.start.rglob("*")):
            relative = file.relative_to(self.start)
            notes = relative.parts[0] in {"adapter", "base.json", "training.json"}
            if file.suffix in {".json", ".txt", ".model"} and not notes and file.is_file():
                (folder / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / relative)
        tensors = load_file(self.start / WEIGHTS)
        trained = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        names = {name.removeprefix("bert."): name for name in tensors}
        tensors |= {names[name]: tensor for name, tensor in trained.items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


class AnyLayout(Trainable):
    """Any other model that sentence-transformers loads."""

    def __init__(self, start: Path, device: torch.device, bf16: bool):
        quiet_transformers()
        from sentence_transformers import SentenceTransformer

        super().__init__(start, device, bf16)
        self.network = SentenceTransformer(
            str(start),
            device=str(device),
            # The same mathematics; on a CPU the backward pass of eager attention is the faster one.
            model_kwargs={"attn_implementation": "eager" if device.type == "cpu" else "sdpa", "use_safetensors": True},
        )
        self.transformer = self.network[0].model
        self._embed = self._forward()

    def _forward(self) -> Callable[[Tensor, Tensor], Tensor]:
        plain = self.network[0].forward

        def forward(*arguments, **options):
            with self.autocast():
                return plain(*arguments, **options)

        self.network[0].forward = forward
        return sentence_transformer_forward(self.network)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See `Trainable.embed`."""
        return self._embed(input_ids, attention_mask)

    def encoder(self) -> Encoder:
        """The model itself, in evaluation mode until the next step."""
        self.network.eval()
        return Encoder(self.tokenizer, self._embed, self.device)

    def save(self, folder: Path) -> None:
        """As sentence-transformers saves it, without a model card."""
        self.network.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)


def load_start(start: str, settings: dict, base_name: str, seed: int, device: torch.device) -> Trainable:
    """The model of the folder `start`, ready to be trained as `settings` say: dropout set, adapters attached.

    Raises `BackfireError` for static embeddings, which have no transformer to train, and where `settings` ask for
    what the machine or the model has not.
    """
    folder = Path(start)
    if static_module(folder) is not None:
        raise BackfireError(
            f"{start}: '{base_name}' is a model of static embeddings, which Backfire evaluates but does not train.",
            "choose a transformer as base_model, or keep no variant but base.",
        )
    bf16 = wants_bf16(settings["precision"], device)
    pooling = plain_pooling(folder)
    model = AnyLayout(folder, device, bf16) if pooling is None else PlainBert(folder, device, bf16, pooling)
    if settings["dropout"] is not None:
        for module in model.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = settings["dropout"]
    if settings["method"] == "lora":
        # Also what comes behind the transformer, since an adapter is saved for that alone.
        model.network.requires_grad_(False)
        lora.attach(model.transformer, settings["lora"], seed)
    return model


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train under bf16 autocast; the weights and the optimiser's state stay fp32."""
    supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else native_bf16()
    if precision == "bf16" and not supported:
        raise BackfireError("precision: bf16, which this machine does not multiply.", "set precision: auto or fp32.")
    return supported and precision != "fp32"
