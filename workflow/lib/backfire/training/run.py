"""Fine-tuning one variant: sentence-transformers' trainer on triples, with its dynamics and cost recorded."""

import contextlib
import math
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from transformers import PrinterCallback

from backfire.encoder import Encoder, native_bf16, pick_device, quiet_transformers, sentence_transformer_forward
from backfire.errors import BackfireError
from backfire.formats.atomic import replacing, write_json
from backfire.formats.tables import read_rows, write_rows
from backfire.logs import progress
from backfire.resources import peak_memory
from backfire.static import static_module
from backfire.texts import texts_by_id
from backfire.tokens import load_tokenizer
from backfire.training import adapters
from backfire.training.development import DevelopmentSet, development_set
from backfire.training.loss import CosineTripletLoss
from backfire.training.recorder import StepRecorder

DEVELOPMENT_BATCH_TOKENS = 4096


def train_variant(
    start: str,
    triples: str,
    queries: str,
    corpus: list[str],
    development_queries: str,
    development_qrels: str,
    settings: dict,
    dynamics: dict,
    seed: int,
    base_name: str,
    output: str,
    dynamics_table: str,
    cost: str,
    label: str,
) -> None:
    """Train from the model folder `start` and write the model folder, its dynamics table and its cost.

    `settings` is the variant's block of the configuration, `dynamics` the block of that name. The model folder loads
    with `SentenceTransformer(output)`; for LoRA it holds the merged weights, and the adapter in `adapter/`.
    """
    quiet_transformers()
    # Gradients of satisfied triplets leave subnormal numbers in AdamW's state, which slow a CPU down many times.
    torch.set_flush_denormal(True)
    device = pick_device()
    bf16 = wants_bf16(settings["precision"], device)
    model = load_start(start, settings, base_name, seed, device)
    own_length, model.max_seq_length = model.max_seq_length, settings["max_length"]
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

    dataset = _dataset(triples, queries, corpus)
    steps = math.ceil(math.ceil(len(dataset) / settings["batch_size"]) * settings["epochs"])
    loss = CosineTripletLoss(model, settings["loss"]["margin"], bf16)

    development = development_set(development_queries, development_qrels, corpus, dynamics["queries"], dynamics["pool"])

    tokenizer = load_tokenizer(start)

    def measure() -> dict[str, float]:
        return _measured(model, tokenizer, device, bf16, development, dynamics["measures"], settings["max_length"])

    with tempfile.TemporaryDirectory() as scratch, progress(label, steps, "step") as bar:
        recorder = StepRecorder(model, loss, measure, dynamics["interval"], bar)
        trainer = SentenceTransformerTrainer(
            model=model,
            args=_arguments(scratch, settings, steps, seed, device),
            train_dataset=dataset,
            loss=loss,
            callbacks=[recorder],
        )
        # The recorder says all this, without example texts for a model card that is not written.
        for callback in (PrinterCallback, trainer.model_card_callback_class):
            trainer.remove_callback(callback)
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun

    model.max_seq_length = own_length
    with replacing(output) as folder:
        if settings["method"] == "lora":
            adapters.merge(model, str(folder / "adapter"))
            (folder / "adapter" / "README.md").unlink(missing_ok=True)
        model.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
        write_json(folder / "training.json", {"settings": settings, "seed": seed, "start": start, "bf16": bf16})
    write_rows(dynamics_table, "dynamics", recorder.rows)
    write_json(
        cost,
        {"training_time": seconds, "training_peak_memory": peak_memory(), "trainable_parameters": trainable},
    )


def load_start(start: str, settings: dict, base_name: str, seed: int, device: torch.device) -> SentenceTransformer:
    """The model of the folder `start`, ready to be trained as `settings` say: dropout set, adapters attached.

    Raises `BackfireError` for static embeddings, which have no transformer to train.
    """
    if static_module(Path(start)) is not None:
        raise BackfireError(
            f"{start}: '{base_name}' is a model of static embeddings, which Backfire evaluates but does not train.",
            "choose a transformer as base_model, or keep no variant but base.",
        )
    model = SentenceTransformer(
        start,
        device=str(device),
        # The same mathematics; on a CPU the backward pass of eager attention is the faster one.
        model_kwargs={
            "attn_implementation": "eager" if device.type == "cpu" else "sdpa",
            "use_safetensors": True,
        },
    )
    if settings["dropout"] is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = settings["dropout"]
    torch.manual_seed(seed)
    if settings["method"] == "lora":
        adapters.attach(model, settings["lora"], base_name)
    return model


def _dataset(triples: str, queries: str, corpus: list[str]) -> Dataset:
    rows = read_rows(triples, "triples", columns=["query_id", "positive_id", "negative_id"]).to_pydict()
    query_texts = texts_by_id([queries], "queries", rows["query_id"])
    passage_texts = texts_by_id(corpus, "corpus", {*rows["positive_id"], *rows["negative_id"]})
    return Dataset.from_dict(
        {
            "anchor": [query_texts[row] for row in rows["query_id"]],
            "positive": [passage_texts[row] for row in rows["positive_id"]],
            "negative": [passage_texts[row] for row in rows["negative_id"]],
        }
    )


def _arguments(scratch: str, settings: dict, steps: int, seed: int, device: torch.device):
    return SentenceTransformerTrainingArguments(
        output_dir=scratch,
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=round(settings["warmup_ratio"] * steps),
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        optim="adamw_torch_fused",
        seed=seed,
        data_seed=seed,
        use_cpu=device.type == "cpu",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train under bf16 autocast; the weights and the optimiser's state stay fp32."""
    supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else native_bf16()
    if precision == "bf16" and not supported:
        raise BackfireError("precision: bf16, which this machine does not multiply.", "set precision: auto or fp32.")
    return supported and precision != "fp32"


def _measured(model, tokenizer, device, bf16: bool, development: DevelopmentSet, measures: list[str], max_length: int):
    training = model.training
    model.eval()
    encoder = Encoder(tokenizer, sentence_transformer_forward(model), device)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()
    with autocast:
        values = development.measure(encoder, measures, max_length, DEVELOPMENT_BATCH_TOKENS)
    model.train(training)
    return values
