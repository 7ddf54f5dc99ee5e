"""A model in training: its weights, its forward pass, and how it is saved."""

import contextlib
import copy
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from backfire.encoders.adapters import Adapters, attach
from backfire.encoders.bert import load_bert, narrow, pack, plain_pooling, pool
from backfire.encoders.certificate import certificate_of
from backfire.encoders.encoder import Encoder, load_tokenizer
from backfire.encoders.folders import BOTH, ORIGIN, WEIGHTS, modules_of, read_settings
from backfire.encoders.library import autocast, library_forward, load_library_model, sides_differ, transformers_of
from backfire.encoders.settled import multiplied
from backfire.encoders.similarity import COSINE
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.certificates import CERTIFICATE, Certificate
from backfire.training.layers import layer_norms


class Trainable(ABC):
    """What all models in training have in common: `network` holds the weights, `transformer` is where adapters go.

    A network starts from the folder `start` on `device`, with weights in fp32 whatever they are stored in: an update
    of a few millionths would be rounded away. In the `arithmetic` bf16 or fp16 the transformer runs under autocast; its
    weights stay fp32, and so do pooling and all behind it, since bf16 keeps three digits of a cosine.
    """

    network: nn.Module
    transformer: nn.Module
    # What is trained in place of the network's own weights.
    adapters: Adapters | None = None
    # Euclidean norm of the weights that training starts from, by layer.
    norms: dict[str, float]
    # Whether a text gets the same vector when it is embedded again in the same step.
    repeatable = False
    # Whether queries and passages go through the network apart.
    sides_differ = False
    # What embeds passages where queries alone are trained: the model that training starts from.
    passages: "Trainable | None" = None

    def __init__(self, start: Path, device: torch.device, arithmetic: str):
        self.start, self.device, self.arithmetic = start, device, arithmetic
        self.certificate: Certificate = certificate_of(start)
        self.similarity = self.certificate.similarity

    @property
    def half(self) -> torch.dtype | None:
        """The half precision that its transformer runs in, None for fp32."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.arithmetic)

    @abstractmethod
    def embed(self, input_ids: Tensor, attention_mask: Tensor, kind: str) -> Tensor:
        """Pooled vectors (batch, dimensions), fp32, of ids and mask, (batch, length) int64; `kind`: query or document.

        They are as they come before a last module that scales them to unit length, which an objective does itself.
        Where sides do not differ, queries and passages may come together, as either.
        """

    @abstractmethod
    def encoder(self) -> Encoder:
        """An encoder of the model as it is now, to be used before the next step."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model to `folder`, from where SentenceTransformer loads it; adapters have been merged."""


class PlainBert(Trainable):
    """A BERT with mean or first-token pooling, by torch alone."""

    def __init__(self, start: Path, device: torch.device, arithmetic: str, pooling: str):
        super().__init__(start, device, arithmetic)
        self.tokenizer = load_tokenizer(start)
        self.network = self.transformer = load_bert(start).to(device)
        # The gradient of a part of a batch then touches the rows of its words, not the whole vocabulary.
        self.network.embeddings.word_embeddings.sparse = True
        self.pooling = pooling

    @property
    def repeatable(self) -> bool:
        """See `Trainable`: there is no dropout."""
        return not any(module.p for module in self.network.modules() if isinstance(module, nn.Dropout))

    def embed(self, input_ids: Tensor, attention_mask: Tensor, kind: str) -> Tensor:
        """See `Trainable.embed`."""
        with torch.autocast(self.device.type, self.half) if self.half else contextlib.nullcontext():
            hidden = self.network(input_ids, attention_mask)
        return pool(hidden, attention_mask, self.pooling)

    def encoder(self) -> Encoder:
        """A copy of the model, as it would be loaded after training now."""
        network = copy.deepcopy(self.network).eval()
        if self.adapters is not None:
            self.adapters.merge(network)
        if self.half:
            narrow(network, self.half)
        if self.device.type == "cpu":
            pack(network)
        forward = lambda ids, mask, kind: pool(network(ids, mask), mask, self.pooling)  # noqa: E731
        return Encoder(self.tokenizer, forward, self.device, self.similarity, self.arithmetic)

    def save(self, folder: Path) -> None:
        """Every file of the start but what Backfire noted about it, and all weights in their place, in fp32."""
        from safetensors.torch import load_file, save_file

        place = modules_of(self.start)[0][1].relative_to(self.start)

        for file in sorted(self.start.rglob("*")):
            relative = file.relative_to(self.start)
            notes = relative.parts[0] in {"adapter", BOTH, CERTIFICATE, ORIGIN, "training.json"}
            if file.suffix in {".json", ".txt", ".model"} and not notes and file.is_file():
                (folder / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / relative)
        settings = read_settings(self.start / place / "config.json")
        # A library that is asked for no type takes the one that is named here.
        settings = {key: value for key, value in settings.items() if key != "torch_dtype"} | {"dtype": "float32"}
        write_json(folder / place / "config.json", settings, sealed=False)
        tensors = load_file(self.start / place / WEIGHTS)
        tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        trained = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        names = {name.removeprefix("bert."): name for name in tensors}
        tensors |= {names[name]: tensor for name, tensor in trained.items()}
        save_file(tensors, folder / place / WEIGHTS, metadata={"format": "pt"})


class AnyLayout(Trainable):
    """Any other model that sentence-transformers loads, with all of its own preprocessing."""

    def __init__(self, start: Path, device: torch.device, arithmetic: str):
        super().__init__(start, device, arithmetic)
        # The same mathematics; on a CPU the backward pass of eager attention is the faster one.
        self.network = load_library_model(start, device, "eager" if device.type == "cpu" else "sdpa")
        self.tokenizer = load_tokenizer(start, self.network)
        self.sides_differ = sides_differ(self.network)
        transformers = transformers_of(self.network)
        if self.half:
            for transformer in transformers:
                autocast(transformer, self.half)
        self.transformers = [transformer.model for transformer in transformers]
        self._embed = library_forward(self.network, unit=self.similarity != COSINE)
        self._raw = library_forward(self.network, unit=False)

    @property
    def transformer(self) -> nn.Module:
        """Where adapters go. Raises `BackfireError` for a model with one transformer for each side."""
        if len(self.transformers) != 1:
            raise BackfireError(
                f"method: lora, but '{self.start}' has {len(self.transformers)} transformers; an adapter goes to one.",
                "train it with method: full, or choose another base_model.",
            )
        return self.transformers[0]

    def embed(self, input_ids: Tensor, attention_mask: Tensor, kind: str) -> Tensor:
        """See `Trainable.embed`."""
        return self._raw(input_ids, attention_mask, kind)

    def encoder(self) -> Encoder:
        """The model itself, in evaluation mode until the next step."""
        self.network.eval()
        return Encoder(self.tokenizer, self._embed, self.device, self.similarity, self.arithmetic)

    def save(self, folder: Path) -> None:
        """As sentence-transformers saves it, without a model card."""
        self.network.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)


def load_start(start: str, settings: dict, base_name: str, seed: int, device: torch.device) -> Trainable:
    """The model of the folder `start`, ready to be trained as `settings` say: dropout set, adapters attached.

    Where they freeze passages, its `passages` is that model once more, which stays as it is. Raises `BackfireError` for
    static embeddings, which have no transformer to train, and where `settings` ask for what the machine or the model
    has not.
    """
    folder = Path(start)
    forward = certificate_of(folder).forward
    if forward == "static" or modules_of(folder)[:1] and modules_of(folder)[0][0] == "StaticEmbedding":
        raise BackfireError(
            f"{start}: '{base_name}' is a model of static embeddings, which Backfire evaluates but does not train.",
            "choose a transformer as base_model, or keep no variant but base.",
        )
    arithmetic = arithmetic_of(settings["precision"], device)
    if forward == "bert":
        model: Trainable = PlainBert(folder, device, arithmetic, plain_pooling(folder))
    else:
        model = AnyLayout(folder, device, arithmetic)
    if settings["dropout"] is not None:
        for module in model.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = settings["dropout"]
    model.norms = layer_norms(model.network)
    if settings.get("freeze"):
        unchanged = {"method": "full", "dropout": 0.0, "freeze": None}
        model.passages = load_start(start, settings | unchanged, base_name, seed, device)
        model.passages.network.requires_grad_(False).eval()
        model.sides_differ = True
    if settings["method"] == "lora":
        # Also what comes behind the transformer, since an adapter is saved for that alone.
        model.network.requires_grad_(False)
        model.adapters = attach(model.transformer, settings["lora"], seed)
    return model


def arithmetic_of(precision: str, device: torch.device) -> str:
    """What a transformer multiplies in when it trains, fp32, bf16 or fp16; weights and the optimiser's state stay fp32.

    Raises `BackfireError` for what the device has not.
    """
    if precision not in ("fp32", "bf16", "fp16"):
        raise ValueError(f"{precision}: no arithmetic; what auto is in a study, is settled before (see `settling`).")
    if precision == "bf16" and precision not in multiplied():
        raise BackfireError("precision: bf16, which this machine does not multiply.", "set precision: auto or fp32.")
    if precision == "fp16" and device.type != "cuda":
        raise BackfireError(
            "precision: fp16, but this job has no GPU, and a CPU gains nothing by it.",
            "train where there is a GPU, or set precision to auto, bf16 or fp32.",
        )
    return precision
