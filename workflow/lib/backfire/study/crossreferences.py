"""Whether the parts of a study that name one another go together.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections import Counter
from typing import TYPE_CHECKING

from backfire.errors import BackfireError
from backfire.study.alternatives import SETS
from backfire.study.joined import check_joined
from backfire.study.objectives import completed
from backfire.study.parts import known
from backfire.study.variants import BASE, BEST, Composed, Given, Mixed, Taken, Trained, Variant

if TYPE_CHECKING:
    from backfire.study.study import Study


def check_references(study: "Study") -> None:
    """Raise `BackfireError` for the first thing that a part names and that is not there or does not fit."""
    _check_seeds(study)
    _check_collections(study)
    for each in study.variants.values():
        _check_variant(study, each)
    _check_ancestry(study)
    _check_measures(study)
    _check_comparison(study)
    _check_alternatives(study)
    _check_selections(study)
    _check_protocol(study)


def _check_seeds(study: "Study") -> None:
    twice = [seed for seed, count in Counter(study.seeds).items() if count > 1]
    if twice:
        raise BackfireError(f"seeds: {twice[0]} is listed twice.", "list every seed once.")


def _check_collections(study: "Study") -> None:
    train_on = known("train_on", study.train_on, study.collections, "collection")
    for collection in study.collections.values():
        check_joined(collection, study.collections)
    if study.trained and not train_on.train:
        trained = [name for name, each in study.own.items() if each.trained]
        raise BackfireError(
            f"collections.{train_on.name}: {', '.join(trained)} would be trained on it, but it has no "
            "training queries.",
            f"set collections.{train_on.name}.train, or train_on to a collection that has them; to train nothing, "
            "set each of these variants to null.",
        )
    for collection in study.collections.values():
        for split in collection.relevance:
            sets = [name for name in collection.query_sets if name != collection.cut]
            known(f"collections.{collection.name}.relevance", split, dict.fromkeys(sets), "split")
    for triples in study.triples.values():
        triples.check(train_on)
    primary, split, _ = study.primary
    known(
        "primary.split",
        split,
        known("primary.collection", primary, study.collections, "collection").splits,
        "split",
    )
    if study.trained:
        watched = study.config["dynamics"]["split"]
        also = " Or set it to null, which cuts a tenth off the training queries."
        known("dynamics.split", watched, train_on.splits, f"split of '{train_on.name}'", also)
        if study.primary[:2] in [study.watched, *study.behind(*study.watched)]:
            raise BackfireError(
                f"primary.split: '{split}' is the split that is watched in training (dynamics.split).",
                "judge on another split; what training was watched on is no evidence.",
            )


def _check_variant(study: "Study", each: Variant) -> None:
    try:
        each.check()
        if isinstance(each, Composed):
            _check_candidates(study, each)
        _check_parents(study, each)
        if isinstance(each, Mixed):
            _check_shares(study, each)
        if isinstance(each, Trained):
            _check_training(study, each)
        if isinstance(each, Given):
            _check_given(study, each)
        if each.name not in study.compared and "loss" in each.settings:
            # Put together of two that are complete; a margin out of reach is one of the things that a ladder tries.
            completed(f"{each.where}.loss", each.settings["loss"], beyond=True)
    except BackfireError as error:
        raise (study.ladder.explained(error) if study.ladder else error) from None


def _check_shares(study: "Study", each: Mixed) -> None:
    """Shares can be tried where something is watched."""
    if len(each.tried) > 1 and not study.watched:
        raise BackfireError(
            f"{each.where}.shares: they are tried on watched queries, and a study that trains nothing watches none.",
            "give each of them one share in of, as {base: 0.5, other: 0.5}.",
        )


def _check_parents(study: "Study", each: Variant) -> None:
    key = f"{each.where}.{'start_from' if each.trained else 'of'}"
    for parent in each.parents:
        found = known(key, parent, study.own, "variant")
        if each.embedded and found.queries_alone:
            raise BackfireError(
                f"{key}: '{parent}' is a model of queries alone (freeze: passages).",
                "name one that was trained on both sides.",
            )
        if each.embedded and not found.embedded:
            raise BackfireError(
                f"{key}: '{parent}' has no model, since its method is {found.settings['method']}.",
                f"name a variant that has one: {', '.join(study.embedded)}.",
            )


def _check_candidates(study: "Study", each: Composed) -> None:
    key = f"{each.where}.best_of"
    for name in each.best_of:
        if not known(key, name, study.own, "variant").trained:
            raise BackfireError(f"{key}: '{name}' is not trained.", "choose among trained variants.")
    if each.best_of and BEST in study.own:
        raise BackfireError(
            f"{key}: '{BEST}' in of stands for the best of these, and a variant of the study has that name.",
            "give that variant another name.",
        )


def _check_given(study: "Study", each: Given) -> None:
    places = {"/".join(place): place for place in study.evaluations}
    for place in each.settings["runs"]:
        known(f"{each.where}.runs", place, places, "query set that is evaluated")
    lacking = sorted(places.keys() - each.settings["runs"].keys())
    if lacking:
        raise BackfireError(
            f"{each.where}.runs: there is none for {', '.join(lacking)}.",
            "every variant is compared on every split: add the runs, or leave these splits out of the study.",
        )


def _check_training(study: "Study", each: Trained) -> None:
    if "triples" not in each.settings:
        raise BackfireError(
            f"{each.where}: it is trained but names no triple set.", f"add triples: {', '.join(study.triples)}."
        )
    triples = known(f"{each.where}.triples", each.triples, study.triples, "triple set")
    # A plan's study leaves the objective out.
    if "loss" in each.settings and each.objective.teacher and not triples.teacher:
        raise BackfireError(
            f"{each.where}.loss: it follows a teacher's scores, and triples.{triples.name} names no teacher.",
            f"add triples.{triples.name}.teacher: {{model: cross-encoder/ms-marco-MiniLM-L6-v2}}, or another one.",
        )
    guide = each.guide if "loss" in each.settings else None
    if guide is not None and not isinstance(known(f"{each.where}.loss.guide", guide, study.own, "variant"), Taken):
        raise BackfireError(
            f"{each.where}.loss.guide: '{guide}' is not a model that is taken as it is.",
            f"name one of {', '.join(study.taken_models)}, or add another: "
            "{method: none, model: its hub name or a folder}.",
        )
    size = triples.size
    apart = each.settings["held_out"]
    if size and apart and not 0 < each.course(size).held_out < size:
        raise BackfireError(
            f"{each.where}.held_out.share: {apart['share']:g} of the {size} examples of '{each.triples}' holds out "
            f"{each.course(size).held_out or 'none'}.",
            "set a share that leaves some on either side, or take more triples.",
        )


def _check_ancestry(study: "Study") -> None:
    """Every chain of parents ends at a model that is taken as it is."""
    for name in study.variants:
        _check_chain(study, [name])


def _check_chain(study: "Study", path: list[str]) -> None:
    for parent in study.variants[path[-1]].parents:
        if parent in path:
            key = "start_from" if study.variants[path[0]].trained else "of"
            raise BackfireError(
                f"variants.{path[0]}.{key}: the chain {' -> '.join([*path, parent])} comes back to itself.",
                "let one of them start from base.",
            )
        _check_chain(study, [*path, parent])


def _check_measures(study: "Study") -> None:
    if study.primary[2] not in study.config["measures"]:
        raise BackfireError(
            f"primary.measure: '{study.primary[2]}' is not among measures ({', '.join(study.config['measures'])}).",
            "add it to measures, or choose one of them.",
        )


def _check_comparison(study: "Study") -> None:
    # A plan's study compares nothing and has no such block.
    for name in study.config.get("comparison", {}).get("against", []):
        known("comparison.against", name, study.own, "variant")
        if name == BASE:
            raise BackfireError(
                "comparison.against: 'base' is listed.", "leave it out; every variant is compared with base anyway."
            )


def _check_alternatives(study: "Study") -> None:
    for name in study.config.get("alternatives") or []:
        also = f" Or name a set: {', '.join(SETS)}."
        if known("alternatives", name, study.own, "variant", also).name == BASE:
            raise BackfireError("alternatives: 'base' is listed.", "leave it out; it is what alternatives are held to.")


def _check_selections(study: "Study") -> None:
    taken: dict[str, str] = {}
    for selection in study.selections.values():
        where = f"selections.{selection.name}"
        for name in selection.among:
            if not known(f"{where}.among", name, study.own, "variant").trained:
                raise BackfireError(f"{where}.among: '{name}' is not trained.", "choose among trained variants.")
            if name in taken:
                raise BackfireError(
                    f"{where}.among: '{name}' is in selections.{taken[name]} as well.",
                    "a variant is a candidate for one choice; make the two one, or take it out of one.",
                )
            taken[name] = selection.name


def _check_protocol(study: "Study") -> None:
    protocol = study.config["protocol"]
    if protocol:
        collection = known("protocol.collection", protocol["collection"], study.collections, "collection")
        known("protocol.split", protocol["split"], collection.splits, f"split of '{collection.name}'")
        if collection.of and protocol["texts"]:
            raise BackfireError(
                f"protocol.texts: '{collection.name}' joins others, whose texts it takes as they are there.",
                f"try other texts on one of {', '.join(collection.of)}, or leave texts out.",
            )
