"""The sets of examples of a study, by where their negatives come from.

One small class for each kind of `negatives`; nothing outside this module asks which a set has.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from backfire.errors import BackfireError
from backfire.study.parts import TRAIN, Collection


@dataclass(frozen=True)
class Triples:
    """A set of examples (query, positive, negatives); `settings` is its block of the configuration."""

    name: str
    settings: dict[str, Any] = field(repr=False)
    unit: ClassVar[str] = "one example of each training query"
    """What a size of null stands for."""

    @property
    def where(self) -> str:
        """Its place in the configuration."""
        return f"triples.{self.name}"

    @property
    def negatives(self) -> str:
        """Where the negatives come from."""
        return self.settings["negatives"]

    @property
    def size(self) -> int | None:
        """Examples that are asked for; None for as many as there are."""
        return self.settings["size"]

    @property
    def negatives_per_query(self) -> int:
        """Negatives of each example."""
        return self.settings.get("negatives_per_query", 1)

    @property
    def filter(self) -> dict[str, float] | None:
        """What negatives are dropped by."""
        return self.settings.get("filter")

    @property
    def teacher(self) -> dict[str, Any] | None:
        """The model that scores its examples."""
        return self.settings["teacher"]

    @property
    def texts(self) -> int:
        """Texts of an example: query, positive and negatives."""
        return 2 + self.negatives_per_query

    @property
    def teacher_source(self) -> dict[str, Any]:
        """What its teacher is: the name of the model, the digest of its weights, the key that names it."""
        where = f"{self.where}.teacher.model"
        return {"name": self.teacher["model"], "sha256": self.teacher["model_sha256"], "where": where}

    @property
    def candidates(self) -> list[str]:
        """Name of the candidate list that negatives are drawn from, as hard-200; empty where none is searched."""
        return []

    @property
    def counted(self) -> bool:
        """Whether what was dropped is told in the report."""
        return self.filter is not None

    def check(self, collection: Collection) -> None:
        """Raise `BackfireError` for settings that fit the schema and give no examples of the collection trained on."""


@dataclass(frozen=True)
class Drawn(Triples):
    """`random`, `judged`: negatives drawn from the whole corpus, or from what is judged not relevant."""

    @property
    def ranks(self) -> list[int] | None:
        """First and last rank that a negative may have, where that is set."""
        return self.settings.get("ranks")

    @property
    def swapped(self) -> float:
        """Share of the examples whose positive and first negative change places."""
        return self.settings.get("swapped", 0.0)

    @property
    def counted(self) -> bool:
        """Whether what was dropped, or is wrong on purpose, is told in the report."""
        return super().counted or self.swapped > 0

    @property
    def most_ranks(self) -> int | None:
        """Candidates of a query that negatives are drawn from, at most; None where there is no list of them."""
        return None

    def check(self, collection: Collection) -> None:
        """Bounds of the filter leave something between them."""
        lowest, highest = (self.filter or {}).get("min_score"), (self.filter or {}).get("max_score")
        if None not in (lowest, highest) and lowest > highest:
            raise BackfireError(
                f"{self.where}.filter: min_score {lowest:g} is above max_score {highest:g}.",
                "no negative meets both: raise max_score, or lower min_score.",
            )
        least = min(collection.shares, key=collection.shares.__getitem__, default=None)
        if least and self.size and self.size * collection.shares[least] < 1:
            raise BackfireError(
                f"collections.{collection.name}.of: the share of '{least}', {collection.shares[least]:.2g}, of the "
                f"{self.size} examples of {self.where} is less than one.",
                "raise its share or the size, or leave it out.",
            )


@dataclass(frozen=True)
class Searched(Drawn):
    """`bm25`, `hard`: negatives drawn from the passages that a search ranks highest for the query."""

    @property
    def depth(self) -> int:
        """How far down a ranking goes."""
        return self.settings["depth"]

    @property
    def window(self) -> tuple[int, int]:
        """First and last rank that a negative may have."""
        return (self.ranks[0], self.ranks[1]) if self.ranks else (1, self.depth)

    @property
    def most_ranks(self) -> int:
        """Ranks in the window."""
        return self.window[1] - self.window[0] + 1

    @property
    def candidates(self) -> list[str]:
        """Name of the candidate list."""
        return [f"{self.negatives}-{self.depth}"]

    def check(self, collection: Collection) -> None:
        """The window lies within the list, and holds the negatives of one example at least."""
        super().check(collection)
        if not 1 <= self.window[0] <= self.window[1] <= self.depth:
            raise BackfireError(
                f"{self.where}.ranks: found {self.ranks} with depth {self.depth}.",
                "give the first and the last rank, the last no larger than depth, as ranks: [50, 200].",
            )
        if self.negatives_per_query > self.most_ranks:
            raise BackfireError(
                f"{self.where}.negatives_per_query: found {self.negatives_per_query}, but there are "
                f"{self.most_ranks} ranks to draw them from.",
                f"{'widen ranks' if self.ranks else 'raise depth'}, or ask for fewer negatives.",
            )


@dataclass(frozen=True)
class Fixed(Triples):
    """Examples that are taken as they are."""

    unit: ClassVar[str] = "all of them"

    def check(self, collection: Collection) -> None:
        """Their positives are those that they name, whatever the grade, and they are as many as they are."""
        if collection.shares:
            raise BackfireError(
                f"collections.{collection.name}.of: found shares, but {self.where} are taken as they are.",
                "list the collections without shares, or draw the triples with negatives: random, bm25 or hard.",
            )
        if collection.relevant_from(TRAIN) > 1:
            raise BackfireError(
                f"collections.{collection.name}.relevance.train: found {collection.relevant_from(TRAIN)}, but "
                f"{self.where} are taken as they are, with the positives that they name.",
                "leave train out of relevance, or draw the triples with negatives: random, bm25 or hard.",
            )


@dataclass(frozen=True)
class Published(Fixed):
    """`published`: the document pairs of an `ir_datasets` id, one negative each."""

    @property
    def source(self) -> str:
        """The id."""
        return self.settings["source"]

    def check(self, collection: Collection) -> None:
        """They name passages by the ids of the corpus that they were published for."""
        super().check(collection)
        if collection.of:
            raise BackfireError(
                f"{self.where}: triples as published are of one corpus, and '{collection.name}' joins "
                f"{', '.join(collection.of)}.",
                "draw them with negatives: random, bm25 or hard, or set train_on to the collection of that corpus.",
            )


@dataclass(frozen=True)
class Listed(Fixed):
    """`file`: examples of a file of your own."""

    @property
    def file(self) -> str:
        """Path of the file, or of a saved data set."""
        return self.settings["file"]

    @property
    def reading(self) -> dict[str, Any]:
        """What is asked of the file, by the names of the schema."""
        return {key: value for key, value in self.settings.items() if key not in ("negatives", "teacher")}

    @property
    def counted(self) -> bool:
        """What was left out of a file is always told."""
        return True


KINDS: dict[str, type[Triples]] = {
    "random": Drawn,
    "judged": Drawn,
    "bm25": Searched,
    "hard": Searched,
    "published": Published,
    "file": Listed,
}


def triples_named(name: str, settings: dict[str, Any]) -> Triples:
    """The set of that name, by where its negatives come from."""
    return KINDS[settings["negatives"]](name, settings)
