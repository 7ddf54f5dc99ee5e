"""What it takes to put each system of a study to use: training and encoding once, and each query."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfire.explaining.cost import Latency, cost_means
from backfire.study.variants import BASE

LATENCY, SEARCH, RERANKING = Latency(50).quantity, "search_time", "reranking_time"


@dataclass(frozen=True)
class Cost:
    """What a system takes; None is not known, as of runs that another tool made."""

    training: float | None
    """Seconds of the trainings of this study that stand behind it."""
    passages: int | None
    """Passages of the primary collection that it needs vectors of which base has not made."""
    setup: float | None
    """Seconds of training and of encoding those passages, at the rate that was measured."""
    query: float | None
    """Milliseconds for a query: encoding it, alone, at the median; searching and reranking, at the mean."""
    vectors: float | None
    """MiB of the indexes that it searches."""


class Costs:
    """The costs of a study's systems, from the table `cost`; means over the seeds of each variant."""

    def __init__(
        self,
        systems: Iterable[Mapping[str, Any]],
        cost: str | Path,
        passages: int,
        indexes: Iterable[str | Path],
        chosen: Mapping[str, str],
    ):
        """`systems` say what each is made of (see `Lineage.made_of`); `passages` are those of the primary collection,
        whose `indexes` of the first seeds name the variant in their path (`index/<variant>/...`); `chosen` says which
        variant stands for the best one in each that takes it."""
        self._systems = {system["variant"]: system for system in systems}
        self._passages, self._chosen = passages, chosen
        self._means = cost_means(cost)[0]
        self._sizes: dict[str, float] = {}
        for path in map(Path, indexes):
            variant = path.parts[path.parts.index("index") + 1]
            self._sizes[variant] = self._sizes.get(variant, 0.0) + path.stat().st_size / 2**20

    def of(self, name: str) -> Cost:
        """What a variant takes."""
        query = self._query(name)
        if query is None:
            return Cost(None, None, None, None, None)
        searched = self._searched(name)
        training = sum(self._means[behind, "training_time"] * models for behind, models in self._trained(name).items())
        made = [each for each in searched if each != BASE]
        encoding = sum(self._passages / self._means[each, "encoding_rate"] for each in made)
        vectors = sum(self._sizes[each] for each in searched)
        return Cost(training, self._passages * len(made), training + encoding, query, vectors)

    def _parts(self, name: str) -> list[str]:
        """What a variant is made of, with the one that was chosen among several."""
        system = self._systems[name]
        return [*system["parts"], *([self._chosen[name]] if system["choosing"] else [])]

    def _query(self, name: str) -> float | None:
        quantities = [(name, quantity) for quantity in (LATENCY, SEARCH, RERANKING)]
        own = [self._means[each] for each in quantities if each in self._means]
        parts = [] if self._systems[name]["searches"] else [self._query(part) for part in self._parts(name)]
        return None if None in parts or not own + parts else sum(own + parts)

    def _searched(self, name: str) -> list[str]:
        """The variants whose vectors of passages it searches."""
        system = self._systems[name]
        if system["searches"]:
            return [system["passages"]] if system["passages"] else []
        return list(dict.fromkeys(found for part in self._parts(name) for found in self._searched(part)))

    def _trained(self, name: str) -> dict[str, int]:
        """The variants whose training stands behind it, and how many models of each."""
        system = self._systems[name]
        found = {name: 1} if system["trained"] else {}
        for part in self._parts(name):
            for behind, models in self._trained(part).items():
                found[behind] = max(found.get(behind, 0), system["models"] * models)
        return found
