"""Fine-tuning one variant on triples, with its dynamics and cost recorded."""

import math
import time

import torch

from backfire import lora
from backfire.encoder import pick_device
from backfire.formats.atomic import replacing, write_json
from backfire.formats.tables import write_rows
from backfire.logs import progress
from backfire.resources import peak_memory
from backfire.training.data import batches, load_triples
from backfire.training.development import development_set
from backfire.training.recorder import Recorder
from backfire.training.steps import Stepper
from backfire.training.trainable import load_start


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
    with `SentenceTransformer(output)`; for LoRA it holds the merged weights, and the adapter in `adapter/`. The cost
    leaves out what development measures take.
    """
    # Gradients of satisfied triplets leave subnormal numbers in AdamW's state, which slow a CPU down many times.
    torch.set_flush_denormal(True)
    model = load_start(start, settings, base_name, seed, pick_device())
    length = settings["max_length"]
    data = load_triples(triples, queries, corpus, model.tokenizer, length)
    development = development_set(
        development_queries, development_qrels, corpus, dynamics["queries"], dynamics["pool"], model.tokenizer, length
    )
    steps = math.ceil(math.ceil(len(data) / settings["batch_size"]) * settings["epochs"])
    stepper = Stepper(model, settings, steps, seed)
    recorder = Recorder(
        model, lambda: development.measure(model.encoder(), dynamics["measures"]), dynamics["interval"], steps
    )
    begun, before = time.perf_counter(), recorder.development_seconds
    with progress(label, steps, "step") as bar:
        for chosen in batches(len(data), settings["batch_size"], range(steps), seed):
            step = stepper.step(data.tokens, data.rows[chosen])
            recorder.add(step)
            bar.set_postfix(loss=f"{step.loss:.4f}", refresh=False)
            bar.update(1)
    seconds = time.perf_counter() - begun - (recorder.development_seconds - before)

    with replacing(output) as folder:
        if settings["method"] == "lora":
            lora.save_adapter(model.transformer, settings["lora"], base_name, folder / "adapter")
            lora.merge(model.transformer)
        model.save(folder)
        write_json(folder / "training.json", {"settings": settings, "seed": seed, "start": start, "bf16": model.bf16})
    write_rows(dynamics_table, "dynamics", recorder.rows)
    trainable = sum(weight.numel() for weight in stepper.weights)
    write_json(
        cost,
        {"training_time": seconds, "training_peak_memory": peak_memory(), "trainable_parameters": trainable},
    )
