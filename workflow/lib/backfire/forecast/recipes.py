"""Findings about the recipes: what a look before the first step, and the settings alone, say of each variant."""

import math
from collections.abc import Iterator
from typing import Any

from backfire.forecast.findings import CERTAIN, FAULT, MEASURED, NOTE, RISK, USUAL, Finding, Look, Seen
from backfire.study.objectives import terms
from backfire.study.variants import Trained

# Shares of active examples from which all, and up to which none, are: of 128 examples one is 0.8 %.
ALL, NONE = 0.98, 0.02
# What is usual for models of this kind: see `learning_rates`.
RATES = {"full": (1e-6, 2e-4), "lora": (2e-5, 1e-2)}
# Steps below which a training is hardly one.
FEW_STEPS = 30
# Epochs on one set of examples beyond which it is learned by heart.
MANY_EPOCHS = 10
# Shares of texts that are cut, and of negatives that are likely answers, from which they count.
CUT, ANSWERS = 0.1, 0.05
# Share of negatives that base puts behind the positive already, from which there is little to learn.
KNOWN = 0.99
# Share of repeated positives from which a batch of this size has some.
IN_A_BATCH = 0.5


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.3g} %"


def recipes(seen: Seen) -> Iterator[Finding]:
    """Findings about every trained variant that is compared, in the study's order."""
    for name in seen.study.compared:
        each = seen.study.variants[name]
        if each.trained:
            yield from _settings(seen, each)
            if name in seen.looks:
                yield from _look(each, seen.looks[name])


def _look(each: Trained, look: Look) -> Iterator[Finding]:
    where = each.where
    for term in terms(each.settings["loss"]):
        if term["name"] == "triplet":
            yield from _margin(f"{where}.loss", term, look)
    if look.active is not None and look.active <= NONE:
        yield Finding(
            "nothing to learn",
            where,
            FAULT,
            f"{percent(look.active)} of {look.examples} examples are active before the first step.",
            "A triplet whose margin is met has no gradient, so training would leave the model where it is.",
            "take harder negatives (negatives: hard), or a larger margin.",
            MEASURED,
        )
    elif look.accuracy >= KNOWN and not each.objective.teacher:
        yield Finding(
            "easy negatives",
            where,
            RISK,
            f"The start puts {percent(look.accuracy)} of the negatives behind the positive already.",
            "What it knows teaches it little; only a margin, or other passages of the batch, are left to learn from.",
            "take negatives from deeper search: negatives: bm25 or hard.",
            MEASURED,
        )
    length = each.settings["max_length"]
    if look.cut_passages >= CUT or look.cut_queries >= CUT:
        what, share = max((("passages", look.cut_passages), ("queries", look.cut_queries)), key=lambda pair: pair[1])
        yield Finding(
            "cut texts",
            f"{where}.max_length",
            RISK,
            f"{percent(share)} of the {what} that it trains on reach {length} tokens, where they are cut.",
            "What is cut is not learned, and passages are read longer when they are searched.",
            f"raise max_length above {length}, at a cost that grows with it.",
            MEASURED,
        )


def _margin(where: str, term: dict[str, Any], look: Look) -> Iterator[Finding]:
    """Whether a margin can be met at all: by unit vectors, and by vectors of the length that they have."""
    margin, distance = term["margin"], term["distance"]
    # Two unit vectors are at most 2 apart, by the Euclidean distance and by one minus the cosine.
    bounded = distance == "cosine" or (distance == "euclidean" and term["normalize"])
    if bounded and margin >= 2:
        yield Finding(
            "margin out of reach",
            f"{where}.margin",
            FAULT,
            f"margin {margin:g}, and two {'cosines' if distance == 'cosine' else 'distances between unit vectors'} "
            "differ by less than 2.",
            "It can never be met: every example pushes at every step, also those that are ranked right, and that costs "
            "effectiveness with any distance (docs/recipes.md).",
            "a margin around 0.2 is usual for the cosine.",
            CERTAIN,
        )
    elif not bounded and distance == "euclidean" and margin > look.norm / 2:
        more = f"{percent(look.active or 0)} of {look.examples} examples are active before the first step"
        grows = margin > 2 * look.norm
        yield Finding(
            "margin asks for length",
            f"{where}.margin",
            FAULT if (look.active or 0) >= ALL else RISK,
            f"margin {margin:g} between vectors that are {look.norm:.2g} long; {more}.",
            (
                "No two distances between vectors of that length differ by so much. "
                if grows
                else f"It takes a difference of {margin / look.norm:.2g} times their length. "
            )
            + "The loss falls by making vectors longer, which a cosine does not see, and the space flattens meanwhile "
            "(docs/recipes.md).",
            "distance: cosine with a margin around 0.2, or normalize: true with one below 1.",
            MEASURED,
        )
    elif look.active is not None and look.active >= ALL:
        yield Finding(
            "every example active",
            f"{where}.margin",
            RISK,
            f"{percent(look.active)} of {look.examples} examples are active before the first step.",
            "A margin that nothing meets treats triplets that are ranked right like those that are not.",
            "lower the margin until a part of the examples meets it at the start.",
            MEASURED,
        )


def _settings(seen: Seen, each: Trained) -> Iterator[Finding]:
    where, settings = each.where, each.settings
    yield from _metric(seen, each)
    low, high = RATES[settings["method"]]
    rate = settings["learning_rate"]
    if not low <= rate <= high:
        far = "above" if rate > high else "below"
        yield Finding(
            "learning rate",
            f"{where}.learning_rate",
            RISK,
            f"{rate:g}, {far} the {low:g} to {high:g} that are usual for method {settings['method']}.",
            "Too high a rate forgets what the base knows; too low a rate leaves it where it is.",
            f"try {math.sqrt(low * high):.0e} and watch the development measure.",
            USUAL,
        )
    examples = seen.examples.get(each.triples)
    if not examples:
        return
    course = each.course(examples)
    if course.steps < FEW_STEPS:
        yield Finding(
            "few steps",
            where,
            NOTE,
            f"{course.steps} steps on {examples:,} examples.",
            "What so short a training does says little of what a long one would do.",
            "more examples (triples: size), more epochs, or a smaller batch.",
            USUAL,
        )
    if settings["epochs"] > MANY_EPOCHS:
        yield Finding(
            "many epochs",
            f"{where}.epochs",
            RISK,
            f"{settings['epochs']:g} epochs on {examples:,} examples.",
            "Seen so often, examples are learned by heart, and queries that were not seen lose by it.",
            f"fewer epochs, or keep: best with held_out; one to {MANY_EPOCHS} are usual.",
            USUAL,
        )
    yield from _batch(seen, each, examples)


def _batch(seen: Seen, each: Trained, examples: int) -> Iterator[Finding]:
    """Whether other examples of a batch hold the very passage that answers a query."""
    share, size = seen.repeated.get(each.triples, 0.0), min(each.settings["batch_size"], examples)
    # Each repeated positive meets its twin in a batch with about this chance.
    expected = share * size * (size - 1) / max(1, examples - 1)
    if each.objective.in_batch and expected >= IN_A_BATCH:
        yield Finding(
            "answers in the batch",
            f"{each.where}.batch_size",
            RISK,
            f"{percent(share)} of its examples share their positive with another query; a batch of {size} holds some "
            f"{expected:.1f} such pairs.",
            "Positives of other queries are negatives here, so a right answer is pushed away unless it is judged.",
            "merge queries with one answer into the judgments, or use guide: base (name: gist), which leaves such "
            "passages out.",
            MEASURED,
        )


def _metric(seen: Seen, each: Trained) -> Iterator[Finding]:
    """Whether training looks at something that searching does not see."""
    searched = seen.looks[each.name].similarity if each.name in seen.looks else None
    for term in terms(each.settings["loss"]):
        raw = term["name"] == "triplet" and term["distance"] != "cosine" and not term["normalize"]
        raw |= term["name"] in ("margin_mse", "distill_kl_div") and not term["normalize"]
        if raw and searched == "cosine":
            yield Finding(
                "another metric",
                f"{each.where}.loss",
                FAULT,
                f"It trains by {'the dot product' if 'distance' not in term else term['distance'] + ' distance'} of "
                "vectors as they are pooled, and is searched by the cosine.",
                "Training can lower its loss by the length of vectors, which a cosine does not see.",
                "train what is judged: distance: cosine (or normalize: true), or search by similarity: dot.",
                CERTAIN,
            )
