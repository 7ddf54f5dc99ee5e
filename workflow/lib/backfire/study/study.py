"""The typed view of a study's configuration: which collections, triples, variants and seeds there are.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from dataclasses import replace
from typing import Any

from backfire.errors import BackfireError
from backfire.provenance.fingerprints import plain
from backfire.study.crossreferences import check_references
from backfire.study.doses import dose_groups
from backfire.study.judge import CROSS_ENCODER, Judge, judge_of
from backfire.study.ladder import ladder_between
from backfire.study.lineage import Lineage
from backfire.study.objectives import completed
from backfire.study.parts import TRAIN, UNSEEN, WATCHED, Choice, Collection, Selection
from backfire.study.precision import AUTO
from backfire.study.triples import Listed, Published, triples_named
from backfire.study.variants import BASE, variant


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
        own = {name: variant(name, self.config["variants"][name]) for name in config["variants"]}
        self.compared = list(own)
        self.ladder = ladder_between(self.config["ladder"], own) if self.config.get("ladder") else None
        made = self.ladder.made if self.ladder else {}
        self.variants = own | {name: variant(name, settings) for name, settings in made.items()}
        self.collections = {name: Collection.named(name, block) for name, block in config["collections"].items()}
        self.triples = {name: triples_named(name, block) for name, block in self.config["triples"].items()}
        self.selections = {name: Selection(name=name, **block) for name, block in config["selections"].items()}
        self.train_on: str = config["train_on"]
        self._cut_what_is_watched()
        self.primary: tuple[str, str, str] = tuple(config["primary"][key] for key in ("collection", "split", "measure"))
        check_references(self)

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
    def alternatives(self) -> list[str]:
        """Names of the variants that are there to be tried instead, in the study's order."""
        return [name for name in self.compared if name in (self.config.get("alternatives") or [])]

    @property
    def doses(self) -> list[list[tuple[str, float]]]:
        """Groups of variants that differ in nothing but their share of wrong labels (see `study.doses`)."""
        return dose_groups((self.variants[name] for name in self.compared), self.triples)

    @property
    def used(self) -> list[str]:
        """Names of the triple sets that a variant trains on."""
        used = {self.variants[name].triples for name in self.trained}
        return [name for name in self.triples if name in used]

    @property
    def followed(self) -> list[str]:
        """Names of the triple sets whose teacher a variant follows."""
        names = {self.variants[name].triples for name in self.trained if self.variants[name].objective.teacher}
        return [name for name in self.used if name in names]

    @property
    def counted(self) -> list[str]:
        """Names of the triple sets that a variant trains on and whose manifests say what was dropped, or is whose."""
        shared = bool(self.collections[self.train_on].shares)
        return [name for name in self.used if self.triples[name].counted or shared]

    @property
    def taught_by(self) -> list[str]:
        """Names of the triple sets whose examples a teacher scores."""
        return [name for name, triples in self.triples.items() if triples.teacher]

    @property
    def judge(self) -> Judge | None:
        """What gives its opinion of passages that took an answer's place (see `study.judge`)."""
        lengths = {name: self.teacher_length(name) for name in self.taught_by}
        return judge_of(self.triples, (self.variants[name] for name in self.compared), lengths)

    def teacher_length(self, triples: str) -> int | None:
        """Tokens that a teacher reads of a pair, or of each text; None for a cross-encoder's own limit."""
        teacher = self.triples[triples].teacher
        own = None if teacher["kind"] == CROSS_ENCODER else self.config["encoding"]["max_length"]
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
        return self.encoding_runs if collection in self.looked_at else [(BASE, 0)]

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
    def ladder_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that the ladder looks at, both ends included; none where there is no ladder."""
        return [(name, seed) for name in (self.ladder.rungs if self.ladder else ()) for seed in self.seeds_of(name)]

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
