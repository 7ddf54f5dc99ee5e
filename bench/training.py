"""Training against `SentenceTransformerTrainer` as it comes: fp32, the model's dropout and attention, shuffled batches.

Both start from the base with the same triples, loss, batch of 32, length of 128, learning rate, schedule and number of
steps; loading the model, tokenising and making the trainer count on both sides. Triples are docstrings with their first
paragraphs as queries, and as negative one of the passages that the base ranks highest. RR@10 is over a pool of passages
for queries held out. With `--seeds N` the trainings that are compared, unmeasured, run with N seeds.

FLOP are three forward passes for what is sent backwards and one for what is only looked at, padding counted.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from backfire.encoders.device import pick_device
from backfire.encoders.encoder import Encoder, load_encoder, load_tokenizer
from backfire.encoders.encoding import encode
from backfire.encoders.folders import find_base
from backfire.encoders.library import library_forward
from backfire.encoders.settled import multiplied
from backfire.encoders.tokens import padded
from backfire.keyed import keyed_sample
from backfire.training.data import Examples, batches
from backfire.training.steps import LOOK_FIRST, Stepper
from backfire.training.trainable import load_start
from bench.encoding import BASE, flop
from bench.pairs import Pair, pair
from bench.questions import asked, docstrings

LENGTH, BATCH, HELD_OUT, POOL, RANK = 128, 32, 200, 2000, 20
SETTINGS = {
    "method": "full",
    "loss": {"name": "triplet", "distance": "cosine", "margin": 0.2, "normalize": True},
    "learning_rate": 2e-5,
    "epochs": 1,
    "batch_size": BATCH,
    "schedule": "linear",
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "max_length": LENGTH,
    "dropout": 0.0,
    "precision": multiplied()[-1],
}
# What is set against the peer, which always has the model's dropout and fp32.
ROWS = {
    "train, default recipe (bf16, no dropout)": {},
    "train, with the model's dropout": {"dropout": None},
    "train, with dropout, every triplet violated": {
        "dropout": None,
        "loss": {"name": "triplet", "distance": "cosine", "margin": 2.0, "normalize": True},
    },
}


class Material:
    """Triples of texts, held-out queries with their passages, and the pool they are ranked in."""

    def __init__(self, count: int):
        base = find_base(BASE)
        texts, (queries, relevant) = docstrings(), asked("train")
        chosen = keyed_sample(relevant, count + HELD_OUT, "training bench")
        self.pool = keyed_sample(texts, POOL, "training bench pool")
        self.pool = sorted({*self.pool, *(relevant[query_id] for query_id in chosen)})
        self.passages = [texts[doc_id] for doc_id in self.pool]
        self.queries = [queries[query_id] for query_id in chosen]
        places = {doc_id: place for place, doc_id in enumerate(self.pool)}
        self.answers = np.array([places[relevant[query_id]] for query_id in chosen])
        self.count = count
        scores = self.scores(load_encoder(base, multiplied()[-1]), self.queries)
        scores[np.arange(len(chosen)), self.answers] = -1
        negatives = np.argsort(-scores, axis=1, kind="stable")[:, :RANK]
        negatives = negatives[np.arange(len(chosen)), np.random.default_rng(0).integers(0, RANK, len(chosen))]
        self.rows = np.stack([np.arange(len(chosen)), self.answers, negatives], axis=1)[:count]

    def columns(self) -> dict[str, list[str]]:
        """Texts of the triples."""
        return {
            "anchor": [self.queries[row] for row in self.rows[:, 0]],
            "positive": [self.passages[row] for row in self.rows[:, 1]],
            "negative": [self.passages[row] for row in self.rows[:, 2]],
        }

    def scores(self, encoder: Encoder, queries: list[str]) -> np.ndarray:
        """Cosines (queries, pool)."""
        passages = encode(encoder, self.passages, "document", LENGTH)
        return encode(encoder, queries, "query", LENGTH) @ passages.T

    def reciprocal_rank(self, encoder: Encoder) -> float:
        """RR@10 of the queries held out."""
        scores, answers = self.scores(encoder, self.queries[self.count :]), self.answers[self.count :]
        ranks = 1 + (scores > np.take_along_axis(scores, answers[:, None], axis=1)).sum(axis=1)
        return float(np.where(ranks <= 10, 1 / ranks, 0).mean())


def run(arguments) -> Iterator[Pair]:
    """A row for each of `ROWS` whose name holds `--only`."""
    material, steps = Material(arguments.steps * BATCH), arguments.steps
    lengths = load_tokenizer(find_base(BASE)).tokenize([*material.queries, *material.passages], "document", LENGTH)
    tokens = lengths.lengths[material.rows + [[0, len(material.queries), len(material.queries)]]]
    config = json.loads((Path(find_base(BASE)) / "config.json").read_text())
    whole = flop(config, padded(tokens.ravel()))
    for name, changes in ROWS.items():
        if arguments.only not in name:
            continue
        settings = SETTINGS | changes
        shares: list[float] = []

        def ours(settings=settings, shares=shares, seed=0):
            losses, shares[:], encoder = our_training(material, settings, steps, seed)
            return losses, encoder

        def peer(settings=settings, seed=0):
            return their_training(material, settings, steps, seed)

        found = pair(
            f"{name}, {steps} steps, {tokens.mean():.0f} tokens a text",
            ours=ours,
            peer=peer,
            peer_name="SentenceTransformerTrainer",
            rounds=arguments.rounds,
            work=float(tokens.sum()),
            unit="tokens",
            agreement=lambda one, two, ours=ours, peer=peer: agreement(
                material,
                [one, *(ours(seed=seed) for seed in range(1, arguments.seeds))],
                [two, *(peer(seed=seed) for seed in range(1, arguments.seeds))],
            ),
        )
        found.flop = whole * float(np.mean(shares))
        yield found


def our_training(material: Material, settings: dict, steps: int, seed: int) -> tuple[list[float], list[float], Encoder]:
    """Losses, forward passes' worth of arithmetic of each step per triplet, and the encoder at the end."""
    torch.set_flush_denormal(True)
    model = load_start(str(find_base(BASE)), settings, BASE, seed, pick_device())
    texts = [*material.queries, *material.passages]
    shift = [[0, len(material.queries), len(material.queries)]]
    data = Examples.of(model.tokenizer.tokenize(texts, "document", LENGTH), material.rows + shift)
    stepper, losses, passes, before = Stepper(model, settings, steps, seed), [], [], 0.0
    for chosen in batches(len(data), BATCH, range(steps), seed):
        step = stepper.step(data, chosen)
        looked = model.repeatable and before < LOOK_FIRST
        passes.append(1 + 3 * step.active if looked else 3.0)
        before = step.active
        losses.append(step.loss)
    return losses, passes, model.encoder()


def their_training(material: Material, settings: dict, steps: int, seed: int) -> tuple[list[float], Encoder]:
    """Losses, and the encoder at the end."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss

    torch.set_flush_denormal(False)
    base, device = find_base(BASE), pick_device()
    model = SentenceTransformer(str(base), device=str(device))
    model.max_seq_length = LENGTH
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=scratch,
                max_steps=steps,
                per_device_train_batch_size=BATCH,
                learning_rate=settings["learning_rate"],
                warmup_steps=round(settings["warmup_ratio"] * steps),
                seed=seed,
                use_cpu=device.type == "cpu",
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict(material.columns()),
            loss=TripletLoss(model, TripletDistanceMetric.COSINE, settings["loss"]["margin"]),
        )
        trainer.log = lambda logs, *_: losses.append(float(logs["loss"])) if "loss" in logs else None
        losses: list[float] = []
        trainer.train()
    return losses, Encoder(load_tokenizer(base), library_forward(model.eval(), unit=False), device, "cosine")


def agreement(material: Material, ours: list, theirs: list) -> str:
    """Mean loss over the last half of the steps, and RR@10 at the end, of every seed."""

    def said(values: list[float]) -> str:
        return ", ".join(f"{value:.4f}" for value in values)

    def half(trained: list) -> list[float]:
        return [float(np.mean(losses[len(losses) // 2 :])) for losses, _ in trained]

    measured: Callable = material.reciprocal_rank
    ranks = [[measured(encoder) for _, encoder in trained] for trained in (ours, theirs)]
    return (
        f"loss {said(half(ours))} against {said(half(theirs))}; RR@10 {said(ranks[0])} against {said(ranks[1])}, "
        f"base {measured(load_encoder(find_base(BASE), multiplied()[-1])):.4f}"
    )
