"""Adapters by the library peft: what goes beyond plain LoRA.

DoRA (Liu et al. 2024, arXiv 2402.09353) trains a length for each row of a weight beside its direction; rsLoRA
(Kalajdzievski 2023, arXiv 2312.03732) scales by the root of the rank; PiSSA (Meng et al. 2024, arXiv 2404.02948) and
OLoRA (Büyükakyüz 2024, arXiv 2406.01775) start from a decomposition of the weights, which they take out of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer, LoraModel
from torch import Tensor, nn

from backfire.encoders.adapters import PREFIX, Adapters, write_adapter
from backfire.encoders.folders import ADAPTER_WEIGHTS
from backfire.errors import BackfireError
from backfire.formats.weights import read_weights
from backfire.keyed import key
from backfire.study.adapters import check_fit

_NAME = "default"
_RENAMED = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}


class PeftLora(Adapters):
    """Adapters of peft, in place around layers of a module."""

    def __init__(self, module: nn.Module, settings: dict, seed: int):
        """See `adapters.attach`; raises `BackfireError` also for what peft refuses, with the layers that there are."""
        layers = [name for name, layer in module.named_modules() if _linear(layer)]
        check_fit("lora", settings, layers)
        self._module = module
        with _passed_on(layers):
            self._config = LoraConfig(
                **{_RENAMED.get(name, name): value for name, value in settings.items()}, task_type="FEATURE_EXTRACTION"
            )
            _Keyed(module, self._config, seed)
        self._check_layers(layers)
        # What a start took out of the weights, for each layer: its first A and B.
        self._taken: dict[str, tuple[Tensor, Tensor]] = {}
        if str(settings.get("init_lora_weights")).startswith(("pissa", "olora")):
            self._taken = {name: _pair(layer) for name, layer in _wrapped(module)}
        self._biases = [
            (name, weight, weight.detach().clone())
            for name, weight in module.named_parameters()
            if weight.requires_grad and ".lora_" not in name
        ]

    def _check_layers(self, layers: list[str]) -> None:
        for name, layer in _wrapped(self._module):
            if name not in layers:
                raise BackfireError(
                    f"lora.target_modules: {name} is among them, which is no linear layer.",
                    "adapters go around linear layers; leave it out, or name the layers in a list.",
                )
            rank, most = layer.r[_NAME], min(layer.in_features, layer.out_features)
            if len(layer.lora_A[_NAME].weight) != rank:
                raise BackfireError(
                    f"lora.rank: {rank}, but {name} has a rank of {most}, and its decomposition has no more parts.",
                    f"set rank to at most {most}, or leave init_lora_weights out.",
                )

    def merge(self, module: nn.Module) -> None:
        """See `Adapters.merge`."""
        for name, layer in list(_wrapped(module)):
            layer.merge()
            module.set_submodule(name, layer.get_base_layer())
        del module.peft_config

    @torch.no_grad()
    def delta_norms_squared(self) -> dict[str, float]:
        """See `Adapters.delta_norms_squared`."""
        found = {}
        for name, layer in _wrapped(self._module):
            change = _merged_weight(layer).double() - layer.get_base_layer().weight.double()
            if name in self._taken:
                down, up = (each.double() for each in self._taken[name])
                taken = layer.scaling[_NAME] * (up @ down)
                change -= taken.T if layer.fan_in_fan_out else taken
            found[name] = change.square().sum().item()
        for name, weight, start in self._biases:
            found[name] = (weight.double() - start.double()).square().sum().item()
        return found

    def save(self, base_name: str, folder: str | Path) -> None:
        """See `Adapters.save`.

        What a start took out of the weights is put back, so that the adapter is one to the weights that there were:
        B A - B0 A0 is the product of B and -B0 side by side with A over A0, of twice the rank and the same scale.
        """
        tensors = get_peft_model_state_dict(self._module, save_embedding_layers=False)
        config = self._config.to_dict() | {"base_model_name_or_path": base_name, "inference_mode": True}
        if self._taken:
            for name, (down, up) in self._taken.items():
                tensors[f"{name}.lora_A.weight"] = torch.cat([tensors[f"{name}.lora_A.weight"], down])
                tensors[f"{name}.lora_B.weight"] = torch.cat([tensors[f"{name}.lora_B.weight"], -up], dim=1)
            wider = 2**0.5 if self._config.use_rslora else 2
            config |= {
                "init_lora_weights": True,
                "r": 2 * self._config.r,
                "lora_alpha": wider * self._config.lora_alpha,
                "rank_pattern": {name: 2 * rank for name, rank in self._config.rank_pattern.items()},
                "alpha_pattern": {name: wider * alpha for name, alpha in self._config.alpha_pattern.items()},
            }
        # The order of a set differs between processes.
        config = {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
        write_adapter(Path(folder), {f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}, config)


def apply_adapter(module: nn.Module, folder: Path) -> None:
    """Put the adapter that `PeftLora` saved in `folder` beside the weights of `module`, in place."""
    inject_adapter_in_model(LoraConfig.from_pretrained(str(folder)), module, _NAME)
    tensors = read_weights(folder / ADAPTER_WEIGHTS)
    set_peft_model_state_dict(module, {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}, _NAME)


class _Keyed(LoraModel):
    """peft's way to put adapters into a module, with what it draws for a layer keyed by seed and the layer's name."""

    def __init__(self, module: nn.Module, config: LoraConfig, seed: int):
        self._seed = seed
        super().__init__(module, config, _NAME)

    def _create_and_replace(self, config, adapter, target, target_name, parent, current_key, **options) -> None:
        torch.manual_seed(key(self._seed, "adapter", current_key) >> 1)
        super()._create_and_replace(config, adapter, target, target_name, parent, current_key, **options)


@contextmanager
def _passed_on(layers: list[str]) -> Iterator[None]:
    """What peft raises while it takes settings, as a `BackfireError` that names the layers that there are."""
    try:
        yield
    # It has no class of its own for what does not go together.
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        kinds = sorted({name.rsplit(".", 1)[-1] for name in layers})
        raise BackfireError(
            f"lora: peft does not take these settings ({' '.join(str(error).split())[:300]}).",
            f"the model's linear layers are named {', '.join(kinds)}; see peft's documentation of LoraConfig.",
        ) from error


def _linear(layer: nn.Module) -> bool:
    """Whether peft goes around a layer as around a linear one; that of GPT-2 has a class of its own."""
    return isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"


def _wrapped(module: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, LoraLayer))


def _pair(layer: Any) -> tuple[Tensor, Tensor]:
    """Copies of a layer's A, (rank, inputs), and B, (outputs, rank)."""
    return layer.lora_A[_NAME].weight.detach().clone(), layer.lora_B[_NAME].weight.detach().clone()


def _merged_weight(layer: Any) -> Tensor:
    """The weight that merging would give; the layer stays as it is."""
    base = layer.get_base_layer()
    kept = base.weight.data
    base.weight.data = kept.clone()
    layer.merge()
    merged, base.weight.data = base.weight.data, kept
    layer.merged_adapters.clear()
    return merged
