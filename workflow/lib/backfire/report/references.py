"""Published figures beside those of this run, where both are about the same weights, recipe, queries and passages."""

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any, NamedTuple

from backfire.encoders.folders import PINS
from backfire.report.curves import Curve
from backfire.report.findings import Row
from backfire.report.numbers import MISSING, count, plain, signed
from backfire.report.published import LOSS, QUANTITIES, Figure, NotCompared, Published, Training, read_published
from backfire.study.study import Study
from backfire.study.variants import BASE

# Beyond this many tolerances a figure is not near any more.
NEAR = 3


class _Run(NamedTuple):
    """What this run has: `means` by (collection, split, measure) and variant, curves of trainings, data manifests."""

    study: Study
    means: Mapping[tuple[str, str, str], Mapping[str, float]]
    curves: Sequence[Curve]
    manifests: Mapping[str, Mapping]


def reference_table(
    path: str | Path,
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping],
    rows: Iterable[Row],
    curves: Sequence[Curve],
) -> list[dict[str, Any]]:
    """A row for each published figure that fits the study, none where nothing fits.

    A figure fits where the base has its name and weights, a collection is whole (no `size`) with as many passages
    and queries, and the split has its id or, in a folder, the digests; one of a trained variant for each variant, of
    any name, that has the settings of its recipe. `manifests` are those of the collections, `rows` the table
    `comparison`, `curves` those of every training. Raises as `read_published` does.
    """
    means: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        means.setdefault((row["collection"], row["split"], row["measure"]), {})[row["variant"]] = row["mean"]
    run = _Run(Study(dict(config)), means, curves, manifests)
    return [
        row
        for published in read_published(path)
        if _same_weights(published, config)
        for variant in _variants(published, run.study)
        for row in _rows(published, run, variant)
    ]


def mark(distance: float, tolerance: float) -> str:
    """`OK` up to the tolerance, `near` up to three times as much, else `off`."""
    # Differences of decimal fractions miss them in the last bits: 0.3056 - 0.3026 is 0.003 and a little.
    reach = abs(distance) * (1 - 1e-9)
    return "OK" if reach <= tolerance else "near" if reach <= NEAR * tolerance else "off"


@singledispatch
def _rows(published: Published, run: _Run, variant: str) -> Iterable[dict[str, Any]]:
    """The rows that a published figure of that variant gives."""
    raise NotImplementedError(type(published))


@_rows.register
def _(published: Figure, run: _Run, variant: str) -> Iterable[dict[str, Any]]:
    for collection, split in run.study.evaluations:
        found = run.means.get((collection, split, published.measure), {})
        if variant in found and _same_data(published, run.study, collection, split, run.manifests[collection]):
            yield (
                _named(published, variant, published.measure, f"{collection}/{split}")
                | _distance(found[variant], published, 5)
                | {"notes": _protocols(published, run.study, collection)}
            )


@_rows.register
def _(published: Training, run: _Run, variant: str) -> Iterable[dict[str, Any]]:
    found = [curve for curve in run.curves if curve.variant == variant]
    if published.quantity == LOSS:
        values = [curve.loss.last for curve in found if curve.loss]
        steps = [curve.loss.window for curve in found if curve.loss]
        how = f"mean of the last {count(steps[0], 'step')}" if steps else ""
    else:
        values = [curve.accuracy for curve in found if curve.accuracy is not None]
        how = "cosine, held-out triples, the weights that are kept"
    if values:
        yield (
            _named(published, variant, QUANTITIES[published.quantity], run.study.train_on)
            | _distance(sum(values) / len(values), published, 4)
            | {"notes": [{"text": f"taken as: not stated, here {how}", "differs": False}]}
        )


@_rows.register
def _(published: NotCompared, run: _Run, variant: str) -> Iterable[dict[str, Any]]:
    for name, collection in run.study.collections.items():
        if collection.corpus == published.corpus and collection.size is None:
            told = {"text": f"not compared: {published.because}", "differs": False}
            nothing = dict.fromkeys(("found", "distance", "tolerance"), MISSING)
            yield _named(published, variant, published.quantity, name) | nothing | {"mark": None, "notes": [told]}


def _named(published: Published, variant: str, measure: str, place: str) -> dict[str, Any]:
    known = variant if variant == published.variant else f"{variant} (there {published.variant})"
    # As it was published, to its last digit.
    value = f"{published.value:g}"
    return {"what": known, "measure": measure, "place": place, "published": value, "source": published.source}


def _distance(value: float, published: Figure | Training, digits: int) -> dict[str, Any]:
    distance = value - published.value
    return {
        "found": plain(value, digits),
        "distance": signed(distance, digits),
        "tolerance": f"{published.tolerance:g}",
        "mark": mark(distance, published.tolerance),
    }


def _protocols(figure: Figure, study: Study, collection: str) -> list[dict[str, Any]]:
    """Published and own setting of each factor, and whether they differ."""
    encoding = study.config["encoding"]
    own = {
        "text": study.collections[collection].text,
        "max_length": encoding["max_length"],
        "precision": encoding["precision"],
    }
    words = {"text": "text", "max_length": "length", "precision": "precision"}
    notes = []
    for factor, word in words.items():
        stated = figure.protocol[factor]
        note = _note(stated, own[factor])
        told = f"{word}: {'not stated' if stated is None else stated}, here {own[factor]}"
        notes.append({"text": told + (f" ({note})" if note else ""), "differs": bool(note)})
    return notes


def _note(stated: Any, own: Any) -> str:
    """What is not stated differs from nothing; what `auto` came to depends on the machine."""
    if stated is None or stated == own:
        return ""
    return "may differ" if own == "auto" else "differs"


def _variants(published: Published, study: Study) -> list[str]:
    """The variants of this run that a figure is about: base, or whatever was trained by its recipe."""
    recipe = published.recipe
    if recipe is None:
        return [BASE]
    collection = study.collections[study.train_on]
    if collection.corpus != recipe.corpus or collection.size is not None:
        return []
    return [
        name
        for name, each in study.own.items()
        if each.trained
        and each.start_from == BASE
        and _within(recipe.settings, each.settings)
        and _within(recipe.triples, study.config["triples"][each.triples])
    ]


def _within(asked: Any, settings: Any) -> bool:
    """Whether settings have all that is asked, blocks key by key."""
    if isinstance(asked, dict):
        return isinstance(settings, dict) and all(
            key in settings and _within(value, settings[key]) for key, value in asked.items()
        )
    return asked == settings


def _same_weights(published: Published, config: Mapping[str, Any]) -> bool:
    """Whether the base has the figure's name and the digest, which the run has checked its weights against."""
    name = config["base_model"]
    expected = config["base_model_sha256"] or (PINS[name].sha256 if name in PINS else None)
    return name == published.model and expected == published.sha256


def _same_data(figure: Figure, study: Study, collection: str, split: str, manifest: Mapping[str, Any]) -> bool:
    chosen, identity = study.collections[collection], figure.identity
    corpus, queries = manifest["corpus"], manifest["splits"][split]
    if chosen.size is not None:
        return False
    if (corpus["read"], queries["queries"]["kept"]) != (identity["passages"], identity["queries"]):
        return False
    digests = (identity.get("corpus_digest"), identity.get("queries_digest"))
    return chosen.splits[split] == figure.query_set or (corpus["digest"], queries["digest"]) == digests
