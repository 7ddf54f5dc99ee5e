"""LoRA: low-rank adapters around a transformer's linear layers (Hu et al. 2021, arXiv 2106.09685)."""

from backfire.errors import BackfireError


def attach(model, settings: dict, base_name: str) -> None:
    """Wrap the transformer of a SentenceTransformer so that only the adapters are trained.

    `settings`: rank, alpha, dropout, target_modules. Raises `BackfireError` when no layer has a target's name.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=list(settings["target_modules"]),
    )
    try:
        wrapped = get_peft_model(model[0].model, config)
    except ValueError as error:
        names = sorted({name.rsplit(".", 1)[-1] for name, module in model[0].model.named_modules() if _linear(module)})
        raise BackfireError(
            f"lora.target_modules: {settings['target_modules']} fit no layer of this model.",
            f"its linear layers are named {', '.join(names)}.",
        ) from error
    # peft notes the folder that the base was loaded from, which need not be there after a move.
    wrapped.peft_config["default"].base_model_name_or_path = base_name
    model[0].model = wrapped


def merge(model, adapter: str) -> None:
    """Save the adapters to the folder `adapter`, then add them to the weights they belong to."""
    wrapped = model[0].model
    wrapped.save_pretrained(adapter, safe_serialization=True)
    model[0].model = wrapped.merge_and_unload()


def delta_norm_squared(model) -> float:
    """Squared Frobenius norm of what the adapters would add to the weights."""
    from peft.tuners.lora import LoraLayer

    layers = (module for module in model[0].model.modules() if isinstance(module, LoraLayer))
    return sum(layer.get_delta_weight("default").float().pow(2).sum().item() for layer in layers)


def _linear(module) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)
