"""LoRA: low-rank adapters around a transformer's linear layers (Hu et al. 2021, arXiv 2106.09685).

Saved in the layout of the library peft, which loads them. Plain LoRA is written out here, since importing that library
takes seconds in every job; tests hold forward pass, gradients and merged weights equal to its own. Whatever else is
asked for is peft's (see `peft_adapters`).
"""

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from backfire.encoders.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_settings
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.weights import read_weights
from backfire.keyed import key
from backfire.study.adapters import by_peft

PREFIX = "base_model.model."
"""How peft names the module that it wraps."""


class Adapters(ABC):
    """What is trained beside the frozen weights of a module."""

    @abstractmethod
    def merge(self, module: nn.Module) -> None:
        """Add every adapter to the weights it belongs to, in place, in the adapted module or a copy of it.

        Then `module` has the layers that it had before.
        """

    @abstractmethod
    def delta_norms_squared(self) -> dict[str, float]:
        """Squared Frobenius norm of what merging would change in the weights that the module came with.

        By the name, in the module that is adapted, of the layer or the weight that it is changed in.
        """

    @abstractmethod
    def save(self, base_name: str, folder: str | Path) -> None:
        """Write the adapters to `folder` as peft does; `base_name` says which model they belong to."""


def attach(module: nn.Module, settings: dict, seed: int) -> Adapters:
    """Freeze the weights of `module` and put trained adapters around the linear layers that `settings` names.

    `settings`: a variant's `lora` block. What is drawn for a layer depends on `seed` and the layer's name alone.
    Raises `BackfireError` when no layer has a target's name.
    """
    module.requires_grad_(False)
    return _peft().PeftLora(module, settings, seed) if by_peft(settings) else Lora(module, settings, seed)


def apply_adapter(module: nn.Module, folder: str | Path) -> None:
    """Put the adapter saved in `folder` beside the weights of `module`, in place, for inference."""
    folder = Path(folder)
    config = read_settings(folder / ADAPTER_CONFIG)
    if "peft_version" in config:
        _peft().apply_adapter(module, folder)
    else:
        tensors = read_weights(folder / ADAPTER_WEIGHTS)
        for name, layer in _wrap(module, config["target_modules"], config["r"], config["lora_alpha"], 0.0):
            with torch.no_grad():
                layer.lora_A.weight.copy_(tensors[f"{PREFIX}{name}.lora_A.weight"])
                layer.lora_B.weight.copy_(tensors[f"{PREFIX}{name}.lora_B.weight"])
    module.eval().requires_grad_(False)


def _peft() -> ModuleType:
    """Adapters by peft, loaded by name: they are part of what a variant is made with only where its rule says so."""
    return importlib.import_module("backfire.encoders.peft_adapters")


class LoraLinear(nn.Module):
    """A linear layer with an update beside it: W x + alpha / rank * B A dropout(x).

    A is (rank, inputs), drawn as `nn.Linear` draws its weights; B is (outputs, rank) and starts at zero, so that the
    layer starts as it was.
    """

    def __init__(self, base_layer: nn.Linear, rank: int, alpha: float, dropout: float):
        super().__init__()
        self.base_layer = base_layer
        device = base_layer.weight.device
        self.lora_A = nn.Linear(base_layer.in_features, rank, bias=False, device=device)
        self.lora_B = nn.Linear(rank, base_layer.out_features, bias=False, device=device)
        self.lora_dropout = nn.Dropout(dropout)
        self.scaling = alpha / rank
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (..., outputs) of inputs (..., inputs)."""
        return self.base_layer(inputs) + self.lora_B(self.lora_A(self.lora_dropout(inputs))) * self.scaling

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with the update added to its weights, in place."""
        self.base_layer.weight += (self.lora_B.weight @ self.lora_A.weight) * self.scaling
        return self.base_layer

    @torch.no_grad()
    def delta_norm_squared(self) -> float:
        """Squared Frobenius norm of the update: the sum of (B'B) * (AA'), without the product B A."""
        down, up = self.lora_A.weight.double(), self.lora_B.weight.double()
        return self.scaling**2 * ((up.T @ up) * (down @ down.T)).sum().item()


class Lora(Adapters):
    """Plain LoRA: rank, alpha, dropout, and a list of target modules."""

    def __init__(self, module: nn.Module, settings: dict, seed: int):
        """See `attach`."""
        self._module, self._settings = module, settings
        shape = (settings["rank"], settings["alpha"], settings["dropout"])
        for name, layer in _wrap(module, settings["target_modules"], *shape):
            generator = torch.Generator().manual_seed(key(seed, "adapter", name) >> 1)
            drawn = torch.empty_like(layer.lora_A.weight, device="cpu")
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
            with torch.no_grad():
                layer.lora_A.weight.copy_(drawn)

    def merge(self, module: nn.Module) -> None:
        """See `Adapters.merge`."""
        for name, layer in list(_adapters(module)):
            module.set_submodule(name, layer.merged())

    def delta_norms_squared(self) -> dict[str, float]:
        """See `Adapters.delta_norms_squared`."""
        return {name: layer.delta_norm_squared() for name, layer in _adapters(self._module)}

    def save(self, base_name: str, folder: str | Path) -> None:
        """See `Adapters.save`."""
        tensors = {}
        for name, layer in _adapters(self._module):
            tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A.weight
            tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B.weight
        config = {
            "base_model_name_or_path": base_name,
            "bias": "none",
            "inference_mode": True,
            "lora_alpha": self._settings["alpha"],
            "lora_dropout": self._settings["dropout"],
            "peft_type": "LORA",
            "r": self._settings["rank"],
            "target_modules": sorted(self._settings["target_modules"]),
            "task_type": "FEATURE_EXTRACTION",
        }
        write_adapter(Path(folder), tensors, config)


def write_adapter(folder: Path, tensors: dict[str, Tensor], config: dict) -> None:
    """Write the two files of an adapter as peft lays them out."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    write_json(folder / ADAPTER_CONFIG, config, sealed=False)


def _adapters(module: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, LoraLinear))


def _wrap(
    module: nn.Module, targets: list[str], rank: int, alpha: float, dropout: float
) -> list[tuple[str, LoraLinear]]:
    """Wrap every linear layer whose name is a target, or ends with one after a dot, as peft chooses them."""
    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    chosen = [name for name in linear if any(f".{name}".endswith(f".{target}") for target in targets)]
    if not chosen:
        names = sorted({name.rsplit(".", 1)[-1] for name in linear})
        raise BackfireError(
            f"lora.target_modules: {targets} fit no layer of this model.",
            f"its linear layers are named {', '.join(names)}."
            if names
            else "it has no linear layers that adapters go around; train it with method: full.",
        )
    wrapped = [(name, LoraLinear(linear[name], rank, alpha, dropout)) for name in chosen]
    for name, layer in wrapped:
        module.set_submodule(name, layer)
    return wrapped
