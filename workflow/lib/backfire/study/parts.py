"""The parts of a study, as its configuration names them: collections, triples, choices, selections.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backfire.errors import BackfireError, nearest

TRAIN = "train"
UNSEEN = "unseen"
# The split that is cut off the training queries where none is named to be watched, and its share of them.
WATCHED, WATCHED_SHARE = "watched", 0.1
# In place of a corpus where a collection joins others.
JOINED = "several collections"


@dataclass(frozen=True)
class Collection:
    """A corpus with its query sets; `splits` maps the name in the results to the source."""

    name: str
    corpus: str
    train: str | None
    splits: dict[str, str]
    size: int | None
    whole: bool
    relevance: dict[str, int]
    text: str = "default"
    drop_empty: bool = False
    missing: str = "refuse"
    columns: dict[str, Any] | None = None
    held_out: dict[str, float] = field(default_factory=dict)
    # Those that it joins, with their shares of the examples, or None for shares that follow from their queries.
    of: dict[str, float | None] = field(default_factory=dict)
    # The split that is cut off the training queries, where there is one.
    cut: str | None = None

    @classmethod
    def named(cls, name: str, block: dict[str, Any]) -> "Collection":
        """The collection of that name, by its block of the configuration."""
        settings = {key: value for key, value in block.items() if key != "kind"}
        if "of" in settings:
            of = settings["of"]
            settings |= {"corpus": JOINED, "of": of if isinstance(of, dict) else dict.fromkeys(of)}
        return cls(name=name, **settings)

    @property
    def shares(self) -> dict[str, float]:
        """The share of the examples that each collection gives which it joins, of 1; empty where none is set."""
        total = sum(share or 0 for share in self.of.values())
        return {name: share / total for name, share in self.of.items() if share}

    @property
    def query_sets(self) -> list[str]:
        """Names of all query sets, that for training included."""
        return [*([TRAIN] if self.train else []), *self.splits]

    @property
    def sources(self) -> set[str]:
        """Sources of its query sets, each once."""
        return {str(self.source(query_set)) for query_set in self.query_sets}

    def source(self, query_set: str) -> str | None:
        """The source of a query set: an ir_datasets id, for a folder the name under qrels/, of pairs a part of them."""
        return self.train if query_set == TRAIN else self.splits[query_set]

    def part(self, query_set: str) -> list[float] | None:
        """Which part of the queries of its source a query set is, as a range of shares; None for all of them."""
        if self.cut is None or query_set not in (TRAIN, self.cut):
            return None
        return [WATCHED_SHARE, 1.0] if query_set == TRAIN else [0.0, WATCHED_SHARE]

    def share(self, query_set: str) -> float:
        """The share of the queries of a file of pairs that a query set holds, where the file has no splits itself."""
        source = self.source(query_set)
        return 1 - sum(self.held_out.values()) if source == TRAIN else self.held_out[source]

    def passages(self, text: str) -> str:
        """Folder of the shards of passages in that text: the collection's own, or a choice of protocol."""
        return f"data/{self.name}/corpus" if text == self.text else f"data/{self.name}/texts/{text}/corpus"

    def relevant_from(self, split: str) -> int:
        """The lowest grade that measures without grades count as relevant on a split; of train, that of a positive."""
        return self.relevance.get(TRAIN if split == self.cut else split, 1)


@dataclass(frozen=True)
class Choice:
    """One factor of the evaluation protocol (text, max_length or precision) set otherwise than in the study."""

    factor: str
    value: str | int

    @property
    def name(self) -> str:
        """Name in paths, as max_length-128."""
        return f"{self.factor}-{self.value}"


@dataclass(frozen=True)
class Selection:
    """A choice of one variant among several, by the mean of a measure on the watched split."""

    name: str
    among: list[str]
    measure: str


def known(where: str, name: str, among: Mapping[str, Any], what: str, also: str = "") -> Any:
    """The entry `name`; an error with the nearest name, and what may be done `also`, when there is none."""
    if name not in among:
        raise BackfireError(f"{where}: '{name}' is not a {what} of this study.", f"{nearest(name, among)}{also}")
    return among[name]
