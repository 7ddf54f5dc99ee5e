"""What the variants of a study are made of: their seeds, what each descends from, and the runs that there are.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Mapping
from typing import Any

from backfire.study.variants import BASE, Composed, Mixed, Reranked, Taken, Variant


class Lineage:
    """Variants by name, in the study's order, and the seeds that trained ones run with."""

    variants: dict[str, Variant]
    compared: list[str]
    """Names of those that the configuration lists: all but the rungs that a ladder makes (see `study.ladder`)."""
    seeds: list[int]

    @property
    def own(self) -> dict[str, Variant]:
        """The variants that the configuration lists, by name."""
        return {name: self.variants[name] for name in self.compared}

    def named(self, kind: type[Variant]) -> list[str]:
        """Names of the variants of a kind."""
        return [each.name for each in self.variants.values() if isinstance(each, kind)]

    @property
    def trained(self) -> list[str]:
        """Names of the trained variants."""
        return [each.name for each in self.variants.values() if each.trained]

    @property
    def taken_models(self) -> list[str]:
        """Names of the variants that are models taken as they are, base first."""
        return sorted(self.named(Taken), key=lambda name: name != BASE)

    @property
    def embedded(self) -> list[str]:
        """Names of the variants that have vectors."""
        return [each.name for each in self.variants.values() if each.embedded]

    @property
    def rungs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that is trained and ranked for the ladder alone."""
        return [(name, seed) for name in self.variants if name not in self.compared for seed in self.seeds_of(name)]

    def averages_seeds(self, name: str) -> bool:
        """Whether all seeds of its parents are averaged into one model."""
        each = self.variants[name]
        return isinstance(each, Mixed) and each.over_seeds

    def seeds_of(self, name: str) -> list[int]:
        """The seeds of a variant: the study's where training stands behind it, else 0."""
        return self.seeds if self._seeded(name) else [0]

    def _seeded(self, name: str) -> bool:
        each = self.variants[name]
        return not self.averages_seeds(name) and (each.trained or any(map(self._seeded, each.parents)))

    @property
    def taught(self) -> list[str]:
        """Names of the variants that a training of this study stands behind."""
        return [name for name in self.compared if self._taught(name)]

    def _taught(self, name: str) -> bool:
        each = self.variants[name]
        return each.trained or any(map(self._taught, each.parents))

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that is compared; one that no training stands behind has seed 0 only."""
        return [(name, seed) for name in self.compared for seed in self.seeds_of(name)]

    @property
    def trained_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that is trained and compared."""
        return [run for run in self.runs if self.variants[run[0]].trained]

    @property
    def embedded_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that has vectors."""
        return [(name, seed) for name, seed in self.runs if self.variants[name].embedded]

    @property
    def encoding_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that has vectors of passages of its own."""
        return [(name, seed) for name, seed in self.embedded_runs if not self.variants[name].queries_alone]

    def passages_of(self, name: str, seed: int | str) -> tuple[str, int | str]:
        """The (variant, seed) whose vectors of passages a variant with vectors searches: mostly its own."""
        while self.variants[name].queries_alone:
            name, seed = self.parent(name, seed)
        return name, seed

    @property
    def made_of(self) -> list[dict[str, Any]]:
        """What each variant that is compared takes: its `parts`, but for the one that is chosen (`choosing`: whether
        there is one), whether it `searches` itself, and in which variant's `passages`, whether it is `trained`, and how
        many `models` of a part stand behind it."""
        return [
            {
                "variant": name,
                "parts": each.fixed if isinstance(each, Composed) else each.parents,
                "choosing": isinstance(each, Composed) and bool(each.best_of),
                "searches": each.searches,
                "passages": self.passages_of(name, 0)[0] if each.embedded else None,
                "trained": each.trained,
                "models": len(self.seeds) if self.averages_seeds(name) else 1,
            }
            for name, each in self.own.items()
        ]

    def of_passages(self, wildcards: Mapping[str, str]) -> dict[str, str]:
        """Wildcards, with the variant and seed, where there are any, whose vectors of passages are searched."""
        found = dict(wildcards.items())
        if found.get("variant") in self.variants:
            found["variant"], found["seed"] = map(str, self.passages_of(found["variant"], found["seed"]))
        return found

    @property
    def costed_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) whose cost is measured."""
        return [(name, seed) for name, seed in self.runs if self.variants[name].costed]

    @property
    def searching_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that searches a corpus itself."""
        return [(name, seed) for name, seed in self.runs if self.variants[name].searches]

    @property
    def reranking_runs(self) -> list[tuple[str, int]]:
        """Every (variant, seed) that is scored by a cross-encoder."""
        return [(name, seed) for name, seed in self.runs if isinstance(self.variants[name], Reranked)]

    @property
    def first_runs(self) -> list[tuple[str, int]]:
        """(variant, first seed) of every variant, base first."""
        first = {variant: (variant, seed) for variant, seed in reversed(self.runs)}
        return [first[BASE], *(first[name] for name in self.compared if name != BASE)]

    @property
    def first_embedded(self) -> list[tuple[str, int]]:
        """(variant, first seed) of every variant that has vectors, base first."""
        return [run for run in self.first_runs if self.variants[run[0]].embedded]

    def origin(self, name: str) -> str:
        """The variant, taken as it is, that one with vectors descends from, and whose tokenizer and prompts it has."""
        while parents := self.variants[name].parents:
            name = parents[0]
        return name

    def space(self, name: str) -> str:
        """The variant whose space of vectors a variant's has grown out of: base, or another model taken as it is."""
        origin = self.variants[self.origin(name)]
        return origin.name if origin.model else BASE

    def parent(self, name: str, seed: int | str) -> tuple[str, int | str]:
        """The (variant, seed) whose weights the training of a variant starts from."""
        return self._run_of(self.variants[name].start_from, seed)

    def shares(self, name: str, seed: int | str) -> list[tuple[tuple[str, int | str], list[float]]]:
        """((variant, seed), its share in each mix that is tried) of each model that a mix averages, but for the one
        that is chosen."""
        mix = self.variants[name]
        return [
            (run, [weights[parent] / len(runs) for weights in mix.tried])
            for parent in mix.fixed
            for runs in [self._runs_in(mix, parent, seed)]
            for run in runs
        ]

    @property
    def weighing(self) -> list[str]:
        """Names of the mixes that try several shares."""
        return [name for name in self.named(Mixed) if len(self.variants[name].tried) > 1]

    def runs_of(self, name: str, seed: int | str) -> list[tuple[str, int | str]]:
        """The (variant, seed) of each run that a variant is made of, but for the one that is chosen."""
        each = self.variants[name]
        return [self._run_of(parent, seed) for parent in (each.fixed if isinstance(each, Composed) else each.parents)]

    def candidates_of(self, name: str, seed: int | str) -> list[tuple[str, int | str]]:
        """The (variant, seed) of each run or model that may be chosen for a part of a variant, candidate by candidate;
        of a mix over seeds all seeds of each."""
        each = self.variants[name]
        return [run for candidate in each.best_of for run in self._runs_in(each, candidate, seed)]

    def _runs_in(self, each: Composed, part: str, seed: int | str) -> list[tuple[str, int | str]]:
        if self.averages_seeds(each.name):
            return [(part, own) for own in self.seeds_of(part)]
        return [self._run_of(part, seed)]

    @property
    def choosing(self) -> dict[str, str]:
        """Variants that take the best one of several, with the first, by name, that takes it of the same ones: a choice
        is made once. Their order in a file is not that in a job's parameters, so names decide."""
        first: dict[tuple[str, ...], str] = {}
        chosen = sorted(name for name, each in self.variants.items() if isinstance(each, Composed) and each.best_of)
        return {name: first.setdefault(tuple(self.variants[name].best_of), name) for name in chosen}

    def _run_of(self, name: str, seed: int | str) -> tuple[str, int | str]:
        """The run of a parent that goes with a seed of its child."""
        return name, seed if self._seeded(name) else 0
