"""The method in words, from the settings and the data manifests: what a methods section would say."""

from collections.abc import Mapping
from typing import Any

from backfire.evaluation.verdict import words
from backfire.formats.certificates import Certificate
from backfire.report.arithmetic import arithmetic, with_settled
from backfire.report.examples import Manifests, held
from backfire.report.ladder import method_of
from backfire.report.models import paths, similarities
from backfire.report.numbers import count, names
from backfire.report.recipes import described, overridden
from backfire.report.words import relevance_note
from backfire.study.parts import WATCHED_SHARE, Collection
from backfire.study.study import Study
from backfire.study.variants import BASE, variant


def method_paragraphs(
    config: dict[str, Any],
    variants: list[str],
    manifests: Mapping[str, Mapping],
    selected: list[Mapping[str, Any]],
    certificates: Mapping[str, Certificate],
    samples: Mapping[str, Manifests],
    settled: Mapping[str, Any] | None,
) -> list[tuple[str, str]]:
    """(heading, text) for each stage of the study; `manifests` are those of its collections.

    `selected` are the rows of the table `selection`, none where nothing is chosen; `certificates` say by which path
    each variant was run (see `report.models`); `samples` are manifests of sets of triples that say what was dropped;
    `settled` is what `precision: auto` became, None where nothing is left to it.
    """
    config = with_settled(config, settled)
    return [
        ("Base", _base(config)),
        ("Data", _data(config, manifests)),
        ("Negatives", _negatives(config, samples)),
        *((name, described(variant(name, config["variants"][name]))) for name in variants if name != BASE),
        ("Encoding and ranking", _encoding(config, certificates)),
        *([("Arithmetic", arithmetic(settled))] if settled else []),
        ("How models are run", paths(certificates)),
        ("Choices", choices(config, selected)),
        ("Measures and tests", _tests(config)),
        *([("Ladder", method_of(ladder, len(config["seeds"])))] if (ladder := Study(config).ladder) else []),
        ("Explanations", _explanations(config)),
    ]


def flattened(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The leaves of nested plain data as (dotted path, text), in the order of the data."""
    if isinstance(value, dict) and value:
        return [leaf for key, part in value.items() for leaf in flattened(part, (*path, str(key)))]
    if isinstance(value, list) and value and any(isinstance(part, (dict, list)) for part in value):
        return [leaf for place, part in enumerate(value, 1) for leaf in flattened(part, (*path, str(place)))]
    if isinstance(value, list):
        text = ", ".join(map(str, value)) or "none"
    elif isinstance(value, bool) or value is None:
        text = {True: "yes", False: "no", None: "none"}[value]
    else:
        text = count(value) if isinstance(value, int) else str(value)
    return [(" \N{RIGHTWARDS ARROW} ".join(path), text)]


def _base(config: dict[str, Any]) -> str:
    changed = overridden(variant(BASE, config["variants"][BASE]))
    as_it_is = f"evaluated {changed}" if changed else "evaluated as it was published"
    return f"The base is {config['base_model']}, {as_it_is}. Every variant is compared with it."


def relevance(study: Study) -> dict[tuple[str, str], int]:
    """The lowest relevant grade of each (collection, split) that is evaluated, where it is not 1."""
    grades = {(name, split): study.collections[name].relevant_from(split) for name, split in study.evaluations}
    return {place: grade for place, grade in grades.items() if grade > 1}


def _data(config: dict[str, Any], manifests: Mapping[str, Mapping]) -> str:
    study, parts = Study(config), []
    for name, collection in study.collections.items():
        evaluated = [split for each, split in study.evaluations if each == name]
        splits = names(f"{split} ({collection.splits[split]})" for split in evaluated)
        judged = f"evaluated on {splits}" if splits else "evaluated on no split of its own"
        size = collection.size
        cut = "" if size is None else f", cut to {count(size, 'passage')} by a hash of their ids"
        trained = ""
        if study.trained and name == study.train_on:
            watched = config["dynamics"]["split"]
            source = collection.splits[watched]
            if collection.cut == watched:
                source = f"{WATCHED_SHARE:.0%} of them, cut off by a hash of their text, which are not trained on"
            of = " of each" if collection.of else ""
            trained = f" Training queries come from {collection.train}{of}, and training is watched on {source}."
        text, pairs = manifests[name]["corpus"]["text"], manifests[name].get("pairs")
        parts.append(
            f"{name}: the passages of {_source(collection)}{cut}; {judged}.{trained} "
            f"{_paired(pairs) if pairs else ''}"
            + (
                _left_out(manifests[name]["joined"])
                if collection.of
                else f"Text of a passage: {text['name']}. {text['meaning']}"
            )
        )
    return " ".join(parts)


def _source(collection: Collection) -> str:
    """Where the passages come from, and whose examples are trained on in which shares."""
    if not collection.of:
        return collection.corpus
    shares = {name: f"{share:.0%}" for name, share in collection.shares.items()}
    examples = names(f"{share} of the examples from {name}" for name, share in shares.items())
    return f"{names(collection.of)} together" + (f", with {examples}" if shares else "")


def _left_out(joined: Mapping[str, Mapping[str, int]]) -> str:
    """What was left out of the query sets that are joined."""
    told = []
    for source, found in joined.items():
        if found:
            whose = names(f"{number} of {part}" for part, number in found.items())
            told.append(f"{count(sum(found.values()), 'query', 'queries')} of {source} ({whose})")
    if not told:
        return "Passages and their texts are those of each."
    return (
        f"Passages and their texts are those of each. Left out, since a query of that wording is judged: {names(told)}."
    )


def _paired(pairs: Mapping[str, Any]) -> str:
    """What was made of a file of pairs, from its manifest; ends with a space."""
    columns, shares = pairs["columns"], pairs["held out"]
    read = f"It was made of {count(pairs['read'], 'pair')}, queries from the column '{columns['query']}' and passages "
    read += f"from '{columns['passage']}'"
    if "negatives" in columns:
        read += f", judged not relevant those of {names(map(repr, columns['negatives']))}"
    if not shares:
        return f"{read}; its splits are those that the data set has. "
    held = names(f"{share:.0%} are {split}" for split, share in shares.items())
    return f"{read}. Of its queries {held}, by a hash of their text, near-duplicates together; the rest is train. "


def _negatives(config: dict[str, Any], samples: Mapping[str, Manifests]) -> str:
    study = Study(config)
    used = {study.variants[name].triples for name in study.trained}
    told = [held(each, samples.get(name, ())) for name, each in study.triples.items() if name in used]
    return " ".join(told) or "No triples were used."


def _encoding(config: dict[str, Any], certificates: Mapping[str, Certificate]) -> str:
    encoding = config["encoding"]
    exact = " (exact search)" if encoding["index"] == "Flat" else ""
    return (
        f"Passages and queries are cut at {encoding['max_length']} tokens and encoded with precision "
        f"{encoding['precision']}. {similarities(certificates)} Each query ranks the whole corpus with a FAISS "
        f"{encoding['index']} index{exact}; {count(config['ranking']['depth'], 'passage')} are kept, ties broken by id."
    )


def _tests(config: dict[str, Any]) -> str:
    comparison = config["comparison"]
    collection, split, measure = (config["primary"][key] for key in ("collection", "split", "measure"))
    notes: dict[str, list[str]] = {}
    for place, grade in relevance(Study(config)).items():
        notes.setdefault(relevance_note(config["measures"], grade), []).append("/".join(place))
    graded = "".join(f" On {names(places)}, {note}" for note, places in notes.items() if note)
    level = f"{100 * (1 - comparison['alpha']):g} %"
    told = words(comparison, measure)
    rule = " ".join(f"{outcome}: {meaning}." for outcome, meaning in told["meanings"].items())
    over = "over queries (BCa)" if len(config["seeds"]) == 1 else "over seeds and queries, both resampled"
    against = f" and with {names(comparison['against'])}" if comparison["against"] else ""
    return (
        f"{names(config['measures'])} are computed for every query by ir_measures.{graded} Variants are compared with "
        f"base{against} query by query: a {level} bootstrap interval {over} ({count(comparison['resamples'])} "
        f"resamples), a two-sided sign-flip test ({count(comparison['flips'])} assignments) and two one-sided t tests "
        f"against a margin ({_margins(comparison['margins'])}). The claims of this study are the variants at {measure} "
        f"on {collection}/{split}: their p-values are adjusted for one another by step-down maxT (Westfall and Young), "
        "those against the margin by Holm; those that help are compared with one another as a family alike. All other "
        f"comparisons are exploratory and adjusted by Benjamini-Hochberg. {rule} {told['uncorrected']} "
        f"Every training ran with {count(len(config['seeds']), 'seed')} ({names(map(str, config['seeds']))})."
    )


def _margins(margins: dict[str, float]) -> str:
    named = [f"{value:g} for {name}" for name, value in margins.items() if name != "default"]
    return names([*named, f"{margins['default']:g} for other measures"])


def choices(config: dict[str, Any], selected: list[Mapping[str, Any]]) -> str:
    """Which data chose what; `selected` are the rows of the table `selection`."""
    best = [name for name, block in config["variants"].items() if block.get("keep") == "best"]
    if not config["selections"]:
        but = f", and {names(best)} with those that did best on held-out training examples" if best else ""
        return (
            "No result chose a variant, a checkpoint or a setting of this study: every variant named in the "
            f"configuration is reported, with the weights of its last step{but}."
        )
    parts = []
    for name in config["selections"]:
        among = [row for row in selected if row["selection"] == name]
        (chosen,) = (row for row in among if row["chosen"])
        others = names(f"{row['variant']} {row['mean']:.4f}" for row in among if not row["chosen"])
        where = f"{chosen['collection']}/{chosen['split']} ({count(chosen['queries'], 'query', 'queries')})"
        parts.append(
            f"{name}: {chosen['variant']} was chosen by its mean {chosen['measure']} on {where}, {chosen['mean']:.4f} "
            f"against {others}."
        )
    parts.append("That split takes no part in what is reported; candidates that were not chosen make no claim.")
    return " ".join(parts)


def _explanations(config: dict[str, Any]) -> str:
    geometry, projection, dynamics = config["geometry"], config["projection"], config["dynamics"]
    return (
        f"Embedding statistics are taken over all passages, on unit vectors; those of pairs of passages and of queries "
        f"among passages over {count(geometry['sample'], 'passage')} chosen by a hash of their ids (all, when there "
        "are fewer), the same for every variant. The map is a UMAP of "
        f"{count(projection['passages'])} such passages ({projection['neighbors']} neighbours, minimum distance "
        f"{projection['min_dist']:g}, seed {projection['seed']}), fitted on base once; what descends "
        "from it is placed there, a model of another origin on a map of its own. "
        f"During training, every {dynamics['interval']} steps the model ranks a pool of "
        f"{count(dynamics['pool'], 'passage')} for {count(dynamics['queries'], 'query', 'queries')} of "
        f"{dynamics['split']}; where {dynamics['measures'][0]} has fallen since the start by more than chance "
        f"explains, {'the training ends' if dynamics['on_harm'] == 'stop' else 'a warning is given'}: a one-sided "
        f"sign-flip test at each look with a chance of a false alarm of {dynamics['false_alarms']:g} over all looks of "
        "a training, spent evenly."
    )
