"""How a variant comes to its model, in words: in a sentence for its card, and in full for the method."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from backfire.encoders.similarity import NAMES
from backfire.report.adapters import adapted, adapter
from backfire.report.examples import briefly
from backfire.report.numbers import count, names, rate
from backfire.study.objectives import told
from backfire.study.triples import Triples
from backfire.study.variants import (
    BASE,
    BEST,
    Composed,
    Fused,
    Given,
    Lexical,
    Mixed,
    Reranked,
    Taken,
    Trained,
    Variant,
)


@singledispatch
def recipe(variant: Variant, triples: Mapping[str, Triples]) -> str:
    """A variant in a line, for its card; `triples` are the study's sets by name."""
    raise NotImplementedError(type(variant))


@singledispatch
def described(variant: Variant) -> str:
    """A variant in full."""
    raise NotImplementedError(type(variant))


@recipe.register
def _(variant: Taken, triples: Mapping[str, Triples]) -> str:
    what = f"{variant.model}, not trained here" if variant.model else "the base, not trained"
    changed = overridden(variant)
    return f"{what}, {changed}" if changed else what


@described.register
def _(variant: Taken) -> str:
    return f"It is {recipe(variant, {})}."


@recipe.register
def _(variant: Mixed, triples: Mapping[str, Triples]) -> str:
    return f"weights averaged: {_shares(variant)}"


@described.register
def _(variant: Mixed) -> str:
    each = "All seeds make one model." if variant.over_seeds else "Each seed of these makes a model of its own."
    return f"Its weights are averaged: {_shares(variant)}, tensor by tensor. {each}"


@recipe.register
def _(variant: Trained, triples: Mapping[str, Triples]) -> str:
    settings = variant.settings
    how = adapter(settings["lora"]) if variant.adapted else "full fine-tuning"
    start = "" if variant.start_from == BASE else f", starting from {variant.start_from}"
    return (
        f"{how} on {briefly(triples[variant.triples])}, {told(settings['loss'])}, "
        f"learning rate {rate(settings['learning_rate'])}, {_epochs(settings)}{start}"
        + (f", queries alone, against passages as {variant.start_from} has them" if variant.queries_alone else "")
        + (", best weights on held-out examples kept" if variant.keeps_best else "")
    )


@described.register
def _(variant: Trained) -> str:
    settings = variant.settings
    how = "All weights are updated."
    if variant.adapted:
        how = adapted(settings["lora"])
    if variant.queries_alone:
        how += f" Queries alone are trained: passages keep the vectors of {variant.start_from}."
    dropout, norm = settings["dropout"], settings["max_grad_norm"]
    clipped = "not clipped" if norm is None else f"clipped to norm {norm:g}"
    return (
        f"{how} It starts from {variant.start_from} and trains on the triples '{variant.triples}' for "
        f"{_epochs(settings)} in batches of {settings['batch_size']}, with the {told(settings['loss'])} "
        f"and AdamW at a peak learning rate of {rate(settings['learning_rate'])} ({_schedule(settings)}, weight decay "
        f"{settings['weight_decay']:g}, gradients {clipped}). Texts are cut at {settings['max_length']} tokens; "
        f"dropout is {'that of the model' if dropout is None else f'{dropout:g}'}; "
        f"precision is {settings['precision']}. {_kept(variant)}"
    )


@recipe.register
def _(variant: Lexical, triples: Mapping[str, Triples]) -> str:
    return f"BM25 (k1 {variant.settings['k1']:g}, b {variant.settings['b']:g})"


@described.register
def _(variant: Lexical) -> str:
    return (
        f"It is {recipe(variant, {})} as Lucene computes it, of words of two or more letters or digits in lower case, "
        "without English stop words and without stemming. Passages that share no word with a query are not ranked."
    )


@recipe.register
def _(variant: Fused, triples: Mapping[str, Triples]) -> str:
    of = names([*variant.fixed, *([_best(variant)] if variant.best_of else [])])
    return f"reciprocal rank fusion of {of} (k {variant.settings['k']:g})"


@described.register
def _(variant: Fused) -> str:
    return f"It is the {recipe(variant, {})}: a passage's score is the sum of 1 / (k + its rank) over their rankings."


@recipe.register
def _(variant: Reranked, triples: Mapping[str, Triples]) -> str:
    return f"the first {variant.settings['depth']} passages of {variant.parents[0]}, reranked by {variant.model}"


@described.register
def _(variant: Reranked) -> str:
    length = variant.settings["max_length"]
    limit = "the model's own limit" if length is None else f"{length} tokens"
    return (
        f"It is {recipe(variant, {})}, a cross-encoder, which reads query and passage together, cut at {limit}. What "
        "the run has beyond them keeps its order."
    )


@recipe.register
def _(variant: Given, triples: Mapping[str, Triples]) -> str:
    return "a run that another tool made"


@described.register
def _(variant: Given) -> str:
    files = names(f"{'/'.join(place)} from {path}" for place, path in variant.files.items())
    return f"It is {recipe(variant, {})}, in the order of its scores: {files}."


def overridden(variant: Taken) -> str:
    """What is set in place of a model's files, as `with the query prompt 'query: '`; empty where nothing is."""
    prompts = variant.changes.get("prompts", {})
    said = [f"the {kind} prompt {prompt!r}" for kind, prompt in prompts.items()]
    if similarity := variant.changes.get("similarity"):
        said.append(NAMES[similarity])
    return f"with {names(said)}" if said else ""


def _best(variant: Composed) -> str:
    among = variant.best_of
    return f"the best of {names(among)}" if len(among) > 1 else among[0]


def _shares(variant: Mixed) -> str:
    parts = {name: _best(variant) if variant.best_of and name == BEST else name for name in variant.tried[0]}
    last = list(parts)[-1]
    shares = names(f"{share:g} of {parts[name]}" for name, share in variant.tried[0].items())
    if len(variant.tried) > 1:
        tried = names((f"{weights[last]:g}" for weights in variant.tried), "or")
        shares = f"{tried} of {parts[last]}, as was best on the watched queries, the rest of {next(iter(parts))}"
    many = "all seeds of these" if len(parts) > 1 else "all its seeds"
    return f"{shares}, {many}" if variant.over_seeds else shares


def _kept(variant: Trained) -> str:
    """What is held out, and which weights are kept."""
    apart = variant.settings["held_out"]
    if not apart:
        return "The weights of the last step are kept."
    what = "queries with all their examples" if apart["by"] == "query" else "examples"
    often = f"every {count(apart['interval'], 'step')} and " if apart["interval"] else ""
    best = "the lowest loss" if apart["measure"] == "loss" else "the highest accuracy"
    weights = f"of the look with {best}, of equal ones the earliest," if variant.keeps_best else "of the last step"
    return (
        f"{100 * apart['share']:.4g} % of the {what}, chosen by a hash of seed and id, are held out; {often}after each "
        "epoch the loss of these examples is taken, and their accuracy: the share of negatives that are further from "
        f"the query than the positive. The weights {weights} are kept."
    )


def _schedule(settings: dict[str, Any]) -> str:
    """How the learning rate goes."""
    after = {
        "linear": "then falling linearly to 0",
        "cosine": "then falling to 0 as a cosine",
        "inverse_sqrt": "then falling with the square root of the steps",
        "constant_with_warmup": "then constant",
    }
    if settings["schedule"] == "constant":
        return "constant, without warm-up"
    return f"warm-up over {settings['warmup_ratio']:.0%} of the steps, {after[settings['schedule']]}"


def _epochs(settings: dict[str, Any]) -> str:
    return f"{settings['epochs']:g} {'epoch' if settings['epochs'] == 1 else 'epochs'}"
