"""The typed view of a study's configuration: which collections, triples, variants and seeds there are.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from backfire.errors import BackfireError
from backfire.provenance.fingerprints import plain
from backfire.study.joined import check_joined
from backfire.study.lineage import Lineage
from backfire.study.objectives import completed
from backfire.study.parts import TRAIN, UNSEEN, WATCHED, Choice, Collection, Selection, known
from backfire.study.precision import AUTO
from backfire.study.triples import Listed, Published, triples_named
from backfire.study.variants import BASE, Given, Taken, Trained, Variant, variant


class Study(Lineage):
    """A configuration whose cross-references hold. Raises `BackfireError` where one does not."""

    def __init__(self, config: dict[str, Any]):
        """Take a configuration that fits the schema (see `settings.checked`)."""
        self.config = plain(config)
        for name, block in self.config["variants"].items():
            # A plan's study leaves the objective out.
            if "loss" in block:
                block["loss"] = completed(f"variants.{name}.loss", block["loss"])
        self.name: str = config["study"]
        self.seeds: list[int] = config["seeds"]
        self.shards: int = config["encoding"]["shards"]
        # Order of the configuration file, which is the order of every table and figure.
        self.variants = {name: variant(name, self.config["variants"][name]) for name in config["variants"]}
        self.collections = {name: Collection.named(name, block) for name, block in config["collections"].items()}
        self.triples = {name: triples_named(name, block) for name, block in self.config["triples"].items()}
        self.selections = {name: Selection(name=name, **block) for name, block in config["selections"].items()}
        self.train_on: str = config["train_on"]
        self._cut_what_is_watched()
        self.primary: tuple[str, str, str] = tuple(config["primary"][key] for key in ("collection", "split", "measure"))
        self._check_seeds()
        self._check_collections()
        for each in self.variants.values():
            each.check()
            self._check_parents(each)
            if isinstance(each, Trained):
                self._check_training(each)
            if isinstance(each, Given):
                self._check_given(each)
        self._check_ancestry()
        self._check_measures()
        self._check_comparison()
        self._check_selections()
        self._check_protocol()

    def _cut_what_is_watched(self) -> None:
        """Where something is trained and no split is named to be watched, one is cut off the training queries."""
        collection = self.collections.get(self.train_on)
        if not self.trained or self.config["dynamics"]["split"] is not None or not collection or not collection.train:
            return
        if WATCHED in collection.splits:
            raise BackfireError(
                f"dynamics.split: none is named, and '{self.train_on}' has a split '{WATCHED}'.",
                f"set dynamics.split to {WATCHED}, or give that split another name.",
            )
        splits = collection.splits | {WATCHED: collection.train}
        self.collections[self.train_on] = replace(collection, splits=splits, cut=WATCHED)
        self.config["collections"][self.train_on] |= {"splits": splits, "cut": WATCHED}
        self.config["dynamics"]["split"] = WATCHED

    def source_of(self, name: str) -> dict[str, Any]:
        """What a model that is taken as it is, is made of: its name, the digest of its weights, the key that names it
        and what is set otherwise than in its files."""
        each, digest = self.variants[name], self.config.get("base_model_sha256")  # A plan has none.
        found = {"name": self.config["base_model"], "sha256": digest, "where": "base_model"}
        if each.model:
            found = {"name": each.model, "sha256": each.settings.get("model_sha256"), "where": f"{each.where}.model"}
        return found | {"changes": each.changes}

    @property
    def published(self) -> dict[str, str]:
        """Source of every triple set that is taken as published, by its name."""
        return {each.name: each.source for each in self.triples.values() if isinstance(each, Published)}

    @property
    def listed(self) -> dict[str, str]:
        """File of every triple set that is taken from one, by its name."""
        return {each.name: each.file for each in self.triples.values() if isinstance(each, Listed)}

    @property
    def counted(self) -> list[str]:
        """Names of the triple sets that a variant trains on and whose manifests say what was dropped, or is whose."""
        used = {self.variants[name].triples for name in self.trained}
        shared = bool(self.collections[self.train_on].shares)
        return [each.name for each in self.triples.values() if (each.counted or shared) and each.name in used]

    @property
    def taught_by(self) -> list[str]:
        """Names of the triple sets whose examples a teacher scores."""
        return [name for name, triples in self.triples.items() if triples.teacher]

    def teacher_length(self, triples: str) -> int | None:
        """Tokens that a teacher reads of a pair, or of each text; None for a cross-encoder's own limit."""
        teacher = self.triples[triples].teacher
        own = None if teacher["kind"] == "cross-encoder" else self.config["encoding"]["max_length"]
        return teacher["max_length"] or own

    @property
    def settles(self) -> bool:
        """Whether some arithmetic is left to what is measured to be fast."""
        asked = [self.config["encoding"], *(self.variants[name].settings for name in self.trained)]
        return any(block["precision"] == AUTO for block in asked)

    @property
    def parts(self) -> int:
        """Number of jobs that a search for negatives is cut into, at most one for each shard."""
        return min(self.config["mining"]["parts"], self.shards_of(self.train_on))

    def shards_of(self, collection: str) -> int:
        """Number of shards that the corpus of a collection is cut into."""
        return 1 if self.collections[collection].whole else self.shards

    def taken(self, collection: str) -> int:
        """Shards of a collection that one job tokenises, encodes or indexes, at most."""
        return min(self.config["encoding"]["shards_per_job"], self.shards_of(collection))

    @property
    def batches(self) -> list[range]:
        """Runs of shards (from 1) of a corpus, each the work of one job; none where a job takes one shard."""
        step = min(self.config["encoding"]["shards_per_job"], self.shards)
        ends = range(1, self.shards + 1, step) if step > 1 else []
        return [range(first, min(first + step, self.shards + 1)) for first in ends]

    @property
    def watched(self) -> tuple[str, str] | None:
        """The (collection, split) for looking and choosing; None where nothing is trained."""
        return (self.train_on, self.config["dynamics"]["split"]) if self.trained else None

    @property
    def evaluations(self) -> list[tuple[str, str]]:
        """Every (collection, split) that is evaluated: all but what is watched in training."""
        pairs = [(name, split) for name, collection in self.collections.items() for split in collection.splits]
        watched = self.behind(*self.watched) if self.watched else []
        return [pair for pair in pairs if pair != self.watched and pair not in watched]

    @property
    def looked_at(self) -> list[str]:
        """Collections that every model encodes: all but those that are joined for training alone."""
        evaluated = {name for name, _ in self.evaluations}
        return [name for name, each in self.collections.items() if not each.of or name in evaluated]

    def encoding(self, collection: str) -> list[tuple[str, int]]:
        """The (variant, seed) that encode the passages of a collection, but for those that guide a training."""
        return self.embedded_runs if collection in self.looked_at else [(BASE, 0)]

    def judged_beside(self, collection: str, source: str) -> list[tuple[str, str]]:
        """The (collection, split) of its parts whose queries are judged, and so are none of a joined collection that is
        trained on or watched: `source` is the query set of each part that it takes. Empty for one that is not."""
        joined = self.collections[collection]
        if collection != self.train_on or not self.watched:
            return []
        if source not in (joined.source(TRAIN), joined.source(self.watched[1])):
            return []
        behind = dict.fromkeys(place for each in self.evaluations for place in self.behind(*each))
        return [place for place in behind if place[0] in joined.of]

    def behind(self, name: str, query_set: str) -> list[tuple[str, str]]:
        """The (collection, query set) that a query set is made of: itself, or those of the collections that are joined.

        Where a part of the training queries is cut off, both parts are made of the training queries.
        """
        collection = self.collections[name]
        source = collection.source(query_set)
        return [(part, source) for part in collection.of] or [(name, query_set)]

    @property
    def elsewhere(self) -> list[tuple[str, str]]:
        """The (collection, split) of text that is not trained on: other collections, and splits named unseen."""
        return [(name, split) for name, split in self.evaluations if name not in self.trained_on or split == UNSEEN]

    @property
    def trained_on(self) -> list[str]:
        """Names of the collections that hold text that is trained on: `train_on`, those that it joins, and those that
        join one of these."""
        names = {self.train_on, *self.collections[self.train_on].of}
        return [name for name, each in self.collections.items() if name in names or not names.isdisjoint(each.of)]

    @property
    def resampling(self) -> dict[str, Any]:
        """What an interval takes of the comparison's settings."""
        return {key: self.config["comparison"][key] for key in ("alpha", "resamples", "seed")}

    @property
    def candidates(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that a choice is made among."""
        among = {name for selection in self.selections.values() for name in selection.among}
        return [run for run in self.trained_runs if run[0] in among]

    def judged_split(self, collection: str) -> str:
        """The split whose relevant pairs stand for a collection: the primary one, else its first."""
        primary, split, _ = self.primary
        return split if collection == primary else next(iter(self.collections[collection].splits))

    @property
    def protocol(self) -> tuple[str, str]:
        """(collection, split) that choices of protocol are tried on; the primary one where none is named."""
        named = self.config["protocol"]
        return (named["collection"], named["split"]) if named else self.primary[:2]

    @property
    def own_choices(self) -> dict[str, str | int]:
        """The study's own protocol on that collection, by factor."""
        encoding = self.config["encoding"]
        text = self.collections[self.protocol[0]].text
        return {"text": text, "max_length": encoding["max_length"], "precision": encoding["precision"]}

    @property
    def choices(self) -> dict[str, Choice]:
        """Choices of protocol to try for base, by name, factor by factor; what the study does anyway is left out."""
        named, own = self.config["protocol"] or {}, self.own_choices
        listed = {"text": "texts", "max_length": "max_lengths", "precision": "precisions"}
        found = [Choice(factor, value) for factor in own for value in named.get(listed[factor], [])]
        return {choice.name: choice for choice in found if choice.value != own[choice.factor]}

    def texts(self, collection: str) -> list[str]:
        """Names of the texts in which the passages of a collection are read, by the study and its choices."""
        tried = self.choices.values() if collection == self.protocol[0] else []
        own = self.collections[collection].text
        return sorted({own, *(str(choice.value) for choice in tried if choice.factor == "text")})

    def chosen(self, name: str) -> dict[str, str | int]:
        """The whole protocol under the choice of that name, by factor."""
        choice = self.choices[name]
        return self.own_choices | {choice.factor: choice.value}

    def part_shards(self, part: int) -> range:
        """Shards (from 1) that part `part` (from 1) of a search covers: runs of near-equal length."""
        shards = self.shards_of(self.train_on)
        return range((part - 1) * shards // self.parts + 1, part * shards // self.parts + 1)

    def _check_seeds(self) -> None:
        twice = [seed for seed, count in Counter(self.seeds).items() if count > 1]
        if twice:
            raise BackfireError(f"seeds: {twice[0]} is listed twice.", "list every seed once.")

    def _check_collections(self) -> None:
        train_on = known("train_on", self.train_on, self.collections, "collection")
        for collection in self.collections.values():
            check_joined(collection, self.collections)
        if self.trained and not train_on.train:
            raise BackfireError(
                f"collections.{train_on.name}: {', '.join(self.trained)} would be trained on it, but it has no "
                "training queries.",
                f"set collections.{train_on.name}.train, or train_on to a collection that has them; to train nothing, "
                "set each of these variants to null.",
            )
        for collection in self.collections.values():
            for split in collection.relevance:
                sets = [name for name in collection.query_sets if name != collection.cut]
                known(f"collections.{collection.name}.relevance", split, dict.fromkeys(sets), "split")
        for triples in self.triples.values():
            triples.check(train_on)
        primary, split, _ = self.primary
        known(
            "primary.split",
            split,
            known("primary.collection", primary, self.collections, "collection").splits,
            "split",
        )
        if self.trained:
            watched = self.config["dynamics"]["split"]
            also = " Or set it to null, which cuts a tenth off the training queries."
            known("dynamics.split", watched, train_on.splits, f"split of '{train_on.name}'", also)
            if self.primary[:2] in [self.watched, *self.behind(*self.watched)]:
                raise BackfireError(
                    f"primary.split: '{split}' is the split that is watched in training (dynamics.split).",
                    "judge on another split; what training was watched on is no evidence.",
                )

    def _check_parents(self, each: Variant) -> None:
        key = f"{each.where}.{'start_from' if each.trained else 'of'}"
        for parent in each.parents:
            found = known(key, parent, self.variants, "variant")
            if each.embedded and not found.embedded:
                raise BackfireError(
                    f"{key}: '{parent}' has no model, since its method is {found.settings['method']}.",
                    f"name a variant that has one: {', '.join(self.embedded)}.",
                )

    def _check_given(self, each: Given) -> None:
        places = {"/".join(place): place for place in self.evaluations}
        for place in each.settings["runs"]:
            known(f"{each.where}.runs", place, places, "query set that is evaluated")
        lacking = sorted(places.keys() - each.settings["runs"].keys())
        if lacking:
            raise BackfireError(
                f"{each.where}.runs: there is none for {', '.join(lacking)}.",
                "every variant is compared on every split: add the runs, or leave these splits out of the study.",
            )

    def _check_training(self, each: Trained) -> None:
        if "triples" not in each.settings:
            raise BackfireError(
                f"{each.where}: it is trained but names no triple set.", f"add triples: {', '.join(self.triples)}."
            )
        triples = known(f"{each.where}.triples", each.triples, self.triples, "triple set")
        # A plan's study leaves the objective out.
        if "loss" in each.settings and each.objective.teacher and not triples.teacher:
            raise BackfireError(
                f"{each.where}.loss: it follows a teacher's scores, and triples.{triples.name} names no teacher.",
                f"add triples.{triples.name}.teacher: {{model: cross-encoder/ms-marco-MiniLM-L6-v2}}, or another one.",
            )
        guide = each.guide if "loss" in each.settings else None
        if guide is not None and not isinstance(
            known(f"{each.where}.loss.guide", guide, self.variants, "variant"), Taken
        ):
            raise BackfireError(
                f"{each.where}.loss.guide: '{guide}' is not a model that is taken as it is.",
                f"name one of {', '.join(self.taken_models)}, or add another: "
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

    def _check_ancestry(self) -> None:
        """Every chain of parents ends at a model that is taken as it is."""
        for name in self.variants:
            self._check_chain([name])

    def _check_chain(self, path: list[str]) -> None:
        for parent in self.variants[path[-1]].parents:
            if parent in path:
                key = "start_from" if self.variants[path[0]].trained else "of"
                raise BackfireError(
                    f"variants.{path[0]}.{key}: the chain {' -> '.join([*path, parent])} comes back to itself.",
                    "let one of them start from base.",
                )
            self._check_chain([*path, parent])

    def _check_measures(self) -> None:
        if self.primary[2] not in self.config["measures"]:
            raise BackfireError(
                f"primary.measure: '{self.primary[2]}' is not among measures ({', '.join(self.config['measures'])}).",
                "add it to measures, or choose one of them.",
            )

    def _check_comparison(self) -> None:
        # A plan's study compares nothing and has no such block.
        for name in self.config.get("comparison", {}).get("against", []):
            known("comparison.against", name, self.variants, "variant")
            if name == BASE:
                raise BackfireError(
                    "comparison.against: 'base' is listed.", "leave it out; every variant is compared with base anyway."
                )

    def _check_selections(self) -> None:
        taken: dict[str, str] = {}
        for selection in self.selections.values():
            where = f"selections.{selection.name}"
            for name in selection.among:
                if not known(f"{where}.among", name, self.variants, "variant").trained:
                    raise BackfireError(f"{where}.among: '{name}' is not trained.", "choose among trained variants.")
                if name in taken:
                    raise BackfireError(
                        f"{where}.among: '{name}' is in selections.{taken[name]} as well.",
                        "a variant is a candidate for one choice; make the two one, or take it out of one.",
                    )
                taken[name] = selection.name

    def _check_protocol(self) -> None:
        protocol = self.config["protocol"]
        if protocol:
            collection = known("protocol.collection", protocol["collection"], self.collections, "collection")
            known("protocol.split", protocol["split"], collection.splits, f"split of '{collection.name}'")
            if collection.of and protocol["texts"]:
                raise BackfireError(
                    f"protocol.texts: '{collection.name}' joins others, whose texts it takes as they are there.",
                    f"try other texts on one of {', '.join(collection.of)}, or leave texts out.",
                )
