"""Fine-tuning one variant on triples, with its dynamics and cost recorded."""

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backfire.encoders.certificate import certify
from backfire.encoders.device import pick_device
from backfire.encoders.folders import BOTH, ORIGIN
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, replacing, write_json
from backfire.formats.tables import write_rows
from backfire.provenance.fingerprints import installed_versions
from backfire.training.checkpoints import PACE, Checkpoints, Pace, alone, discard, training_digest
from backfire.training.data import Examples, load_examples
from backfire.training.development import development_set
from backfire.training.held_out import ACCURACY, LOSS, HeldOut, held_out
from backfire.training.loop import Spent, take_steps
from backfire.training.model_vectors import ModelVectors
from backfire.training.recorder import Recorder
from backfire.training.sides import save_both
from backfire.training.steps import Diverged, Stepper
from backfire.training.trainable import Trainable, load_start
from backfire.training.watch import Watch

NOTES = "training.json"
# What computes beside Backfire's own code.
PACKAGES = ["numpy", "sentence-transformers", "tokenizers", "torch", "transformers"]

logger = logging.getLogger(__name__)


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
    development_table: str,
    layers_table: str,
    cost: str,
    label: str,
    checkpoints: str,
    code: str,
    pace: Pace = PACE,
    relevant_from: int = 1,
    qrels: str | None = None,
    base: Sequence[str] = (),
    guide: Sequence[str] = (),
    teacher: str | None = None,
    spare: bool = False,
) -> None:
    """Train from the model folder `start` and write the model folder, what was measured meanwhile, and its cost.

    `settings` is the variant's block of the configuration, `dynamics` the block of that name, `relevant_from` the
    lowest relevant grade of the watched split, `qrels` the judgments of the training queries, for an objective that
    takes negatives from the batch, `base` the base's vectors of them and of the shards of the corpus, for one that
    compares with the base, `guide` those of the model that guides, for one that is guided, `teacher` the table of a
    teacher's scores, for one that follows them. The model folder loads with `SentenceTransformer(output)`; for LoRA it
    holds the merged weights, and the adapter in `adapter/`. The cost is that of all attempts (see `Spent`).

    A killed training goes on from its last state under the folder `checkpoints`, which belongs to this model alone. A
    state is used only where settings, data, start, packages and `code`, a fingerprint, are those it was written with.
    Of two processes the second waits, and does nothing when the first has written what it would. The states are
    removed at the end. Raises `BackfireError` when loss, gradient or weights are no longer finite. Where it is to
    `spare` what else a study computes, it then writes the model that it started from, marked in its notes as diverged,
    which is no model of the variant: that is for variants whose values nothing reads without asking for the mark.
    """
    # Gradients of satisfied triplets leave subnormal numbers in AdamW's state, which slow a CPU down many times.
    torch.set_flush_denormal(True)
    with alone(checkpoints):
        model = load_start(start, settings, base_name, seed, pick_device())
        vectors = {"base": ModelVectors.at(base), "guide": ModelVectors.at(guide)}
        digest = training_digest(
            {
                "settings": settings,
                "dynamics": dynamics,
                "relevant_from": relevant_from,
                "seed": seed,
                "base_name": base_name,
                "code": code,
                "arithmetic": [installed_versions(PACKAGES), model.device.type, model.arithmetic],
                "vectors": {name: each and each.digests() for name, each in vectors.items()},
            },
            [start, triples, queries, *corpus, development_queries, development_qrels, *filter(None, (qrels, teacher))],
        )
        if _finished(digest, output, dynamics_table, development_table, layers_table, cost):
            logger.warning("another process has written this very model; nothing is left to do")
            return
        length, apart = settings["max_length"], settings["held_out"]
        # Before texts are read, which takes long: it may be refused.
        seen = None if apart is None else ~held_out(triples, apart["share"], apart["by"], seed)
        data, unseen = (
            load_examples(triples, queries, corpus, model.tokenizer, length, qrels, **vectors, teacher=teacher),
            None,
        )
        if seen is not None:
            data, unseen = data.only(seen), data.only(~seen)
        development = development_set(
            development_queries,
            development_qrels,
            corpus,
            dynamics["queries"],
            dynamics["pool"],
            model.tokenizer,
            length,
            relevant_from,
        )
        epoch = math.ceil(len(data) / settings["batch_size"])
        steps = math.ceil(epoch * settings["epochs"])
        stepper = Stepper(model, settings, steps, seed)
        judged = HeldOut(stepper, unseen, settings, epoch)
        recorder = Recorder(
            model,
            lambda: development.look(
                model.encoder(), dynamics["measures"], model.passages and model.passages.encoder()
            ),
            dynamics["interval"],
            steps,
            judged.look,
            Watch(dynamics["measures"][0], math.ceil(steps / dynamics["interval"]), dynamics["false_alarms"]),
        )
        states = Checkpoints(Path(checkpoints) / digest[:16], pace)
        diverged, begun = None, time.perf_counter()
        try:
            stops = dynamics["on_harm"] == "stop"
            spent = take_steps(stepper, recorder, judged, data, settings["batch_size"], states, label, stops)
            if stepper.taken < steps and LOSS not in recorder.rows[-1]:
                recorder.rows[-1] |= judged.look(stepper.taken, ended=True)
        except Diverged as error:
            # Without a row, no vector of the start was finite, which is no matter of this recipe.
            if not spare or not recorder.rows:
                raise BackfireError(
                    f"{output}: no model is written, since training diverged ({error}; precision {model.arithmetic}).",
                    "lower this variant's learning_rate, raise its warmup_ratio, or set its precision to fp32; where "
                    "the first step or a vector before it is not finite, look at the model that it starts from.",
                ) from error
            diverged, spent = str(error), Spent(time.perf_counter() - begun)
            spent.see_memory()
            logger.warning("training diverged (%s): the ladder goes on without this variant", diverged)

        stopped = stepper.taken < steps and not diverged
        kept = {"step": 0 if diverged else judged.settle(), "steps": steps}
        notes = {"settings": settings, "seed": seed, "start": start, "arithmetic": model.arithmetic, "digest": digest}
        notes |= {"diverged": diverged} if diverged else {}
        notes |= {"alarm": recorder.alarm and vars(recorder.alarm), "stopped": stopped}
        notes |= {"kept": kept, "held_out": unseen and _looked(unseen, recorder.rows)}
        parameters = sum(weight.numel() for weight in stepper.weights)
        for weight in stepper.weights:
            weight.grad = None
        curves, looks, layers = recorder.curves, recorder.looks, recorder.layers
        # Moments, the start and what was kept are several times the weights, and the model is about to be loaded again.
        del stepper, recorder, judged
        if diverged:
            del model
            model = load_start(start, settings, base_name, seed, pick_device())
        _save(model, notes, base_name, label, output)
        write_rows(dynamics_table, "dynamics", curves)
        write_rows(development_table, "development", looks)
        write_rows(layers_table, "layers", layers)
        taken = {"training_time": spent.seconds, "training_peak_memory": spent.peak_memory}
        if spent.peak_gpu_memory is not None:
            taken["training_peak_gpu_memory"] = spent.peak_gpu_memory
        write_json(cost, taken | {"trainable_parameters": parameters})
        discard(checkpoints)


def _looked(unseen: Examples, rows: list[dict]) -> dict[str, Any]:
    """What was held out, and each look at it: step, loss and accuracy."""
    looks = [[row["step"], row[LOSS], row[ACCURACY]] for row in rows if LOSS in row]
    return {"examples": len(unseen), "queries": len(np.unique(unseen.rows[:, 0])), "looks": looks}


def _save(model: Trainable, notes: dict, base_name: str, label: str, output: str) -> None:
    """Write the model folder and prove by which path it is run; adapters are merged into the model.

    An adapter names the model that it changes: the base, or the folder of the variant that this one started from. Where
    queries alone were trained, the folder is the model of queries, and `both` within it a model of both sides.
    """
    start = Path(notes["start"])
    belongs_to = base_name if (start / ORIGIN).is_file() else str(start)
    with replacing(output) as folder:
        if model.adapters is not None:
            model.adapters.save(belongs_to, folder / "adapter")
            model.adapters.merge(model.transformer)
        model.save(folder)
        if model.passages is not None:
            save_both(folder, start, folder / BOTH)
        write_json(folder / NOTES, notes)
        certify(folder, label)


def _finished(digest: str, output: str, *tables: str) -> bool:
    """Whether everything has been written by a training of the same digest; the engine removes it before each start."""
    notes = Path(output) / NOTES
    written = all(Path(path).is_file() for path in (notes, *tables))
    return written and read_json(notes).get("digest") == digest
