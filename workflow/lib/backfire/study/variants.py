"""The kinds of variants: how each comes to a run, of what, and whether it has vectors.

One small class for each `method`; nothing outside this module asks which method a variant has.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backfire.errors import BackfireError
from backfire.study.adapters import by_peft, check_adapter
from backfire.study.objectives import Kind, guides, modules, needs

BASE = "base"
# What stands for the best of several variants in what is made of them.
BEST = "best"


@dataclass(frozen=True)
class Variant:
    """A retrieval system to compare; `settings` is its block of the configuration."""

    name: str
    settings: dict[str, Any] = field(repr=False)
    trained: ClassVar[bool] = False
    embedded: ClassVar[bool] = True
    """Whether it is a model that gives vectors, as against one that only gives runs."""

    @property
    def queries_alone(self) -> bool:
        """Whether it is a model of queries, whose passages are encoded by the one that it starts from."""
        return False

    @property
    def searches(self) -> bool:
        """Whether it searches a corpus itself, as against one that orders what others found."""
        return self.embedded

    @property
    def costed(self) -> bool:
        """Whether there is a measurement of what it costs."""
        return self.embedded

    @property
    def parents(self) -> list[str]:
        """Names of the variants that it is made of; none where it is taken as it is."""
        return []

    @property
    def where(self) -> str:
        """Its place in the configuration."""
        return f"variants.{self.name}"

    @property
    def adapted(self) -> bool:
        """Whether it is an adapter over the model that it started from."""
        return False

    @property
    def by_peft(self) -> bool:
        """Whether that adapter takes the library peft."""
        return False

    def check(self) -> None:
        """Raise `BackfireError` for settings that fit the schema and make no variant of this name."""
        if self.name == BASE:
            raise BackfireError(
                f"{self.where}.method: found '{self.settings['method']}'.",
                "the variant 'base' has method none: it is what the others are compared with.",
            )


@dataclass(frozen=True)
class Taken(Variant):
    """`none`: a model taken as it is, the study's base or any other, published or tuned elsewhere."""

    @property
    def model(self) -> str | None:
        """Its hub name or folder; None for the study's base."""
        return self.settings.get("model")

    @property
    def changes(self) -> dict[str, Any]:
        """What is set otherwise than in the model's own files: prompts, similarity."""
        return {key: self.settings[key] for key in ("prompts", "similarity") if self.settings.get(key)}

    def check(self) -> None:
        """Base takes its model from `base_model`; any other must differ from it in something."""
        if self.name == BASE and (self.model or self.settings.get("model_sha256")):
            raise BackfireError(
                f"{self.where}.model: found '{self.model}'.", "the base is named by base_model (and base_model_sha256)."
            )
        if self.name != BASE and not (self.model or self.changes):
            raise BackfireError(
                f"{self.where}: method none, and nothing says how it differs from base.",
                "name another model (model: a folder or a hub name), or set prompts or similarity.",
            )
        if self.settings.get("model_sha256") and not self.model:
            raise BackfireError(
                f"{self.where}.model_sha256: it names no model.",
                "the digest of the study's base is base_model_sha256; leave this out, or add model.",
            )


@dataclass(frozen=True)
class Course:
    """How long a training goes: examples that it holds out, looks at them, and optimiser steps on the others."""

    held_out: int
    looks: int
    steps: int


@dataclass(frozen=True)
class Trained(Variant):
    """`full`, `lora`: trained on triples, from base or from another variant."""

    trained: ClassVar[bool] = True

    @property
    def triples(self) -> str:
        """Name of the triple set that it trains on."""
        return self.settings["triples"]

    @property
    def objective(self) -> Kind:
        """What its training objective needs."""
        return needs(self.settings["loss"])

    @property
    def objectives(self) -> list[str]:
        """Names of the modules that compute it, one for each objective that it is made of."""
        return modules(self.settings["loss"])

    @property
    def guide(self) -> str | None:
        """Name of the variant whose vectors guide its objective; None where nothing does."""
        return next(iter(guides(self.settings["loss"])), None)

    @property
    def start_from(self) -> str:
        """Name of the variant whose weights training starts from."""
        return self.settings["start_from"]

    @property
    def parents(self) -> list[str]:
        """The one that it starts from."""
        return [self.start_from]

    @property
    def adapted(self) -> bool:
        """Whether adapters are trained instead of all weights."""
        return "lora" in self.settings

    @property
    def by_peft(self) -> bool:
        """Whether its adapters are more than plain LoRA, and so those of the library peft."""
        return self.adapted and by_peft(self.settings["lora"])

    @property
    def queries_alone(self) -> bool:
        """Whether passages keep the vectors of the model that training starts from."""
        return self.settings.get("freeze") == "passages"

    @property
    def keeps_best(self) -> bool:
        """Whether the weights that did best on held-out examples are saved, instead of the last ones."""
        return self.settings["keep"] == "best"

    def course(self, examples: int) -> Course:
        """How long it trains on a set of so many examples, as many to a query as to any other."""
        apart = self.settings["held_out"]
        held_out = round(apart["share"] * examples) if apart else 0
        epoch = math.ceil((examples - held_out) / self.settings["batch_size"])
        steps = math.ceil(epoch * self.settings["epochs"])
        if not held_out:
            return Course(0, 0, steps)
        looks = {steps, *range(0, steps, epoch or 1), *range(0, steps, apart["interval"] or epoch or 1)}
        return Course(held_out, len(looks), steps)

    def check(self) -> None:
        """Settings of adapters go together, and what chooses weights has something to choose them by."""
        super().check()
        if self.adapted:
            check_adapter(f"{self.where}.lora", self.settings["lora"])
        # A plan's study leaves the objective out.
        loss = self.settings.get("loss")
        if loss and len(guides(loss)) > 1:
            raise BackfireError(
                f"{self.where}.loss: it is guided by {' and '.join(guides(loss))}.",
                "let one model guide all its terms.",
            )
        if loss and self.adapted and self.objective.start:
            raise BackfireError(
                f"{self.where}.loss: l2_sp holds weights near those of the start, and an adapter leaves these as they "
                "are.",
                "set weight_decay, which pulls an adapter towards no change, or use method: full.",
            )
        if self.keeps_best and not self.settings["held_out"]:
            raise BackfireError(
                f"{self.where}.keep: best, but nothing is held out that weights could be judged by.",
                "add held_out: {share: 0.1}, or keep: last.",
            )


@dataclass(frozen=True)
class Composed(Variant):
    """Made of others, one of which may be chosen: `best` in `of` is that one of `best_of` whose watched measure was
    best where training ended (see `evaluation.selection.choose_best`)."""

    @property
    def best_of(self) -> list[str]:
        """The variants that it takes the best one of; none where it names all that it is made of."""
        return self.settings.get("best_of") or []

    @property
    def fixed(self) -> list[str]:
        """What it is made of by name, in an order that does not follow the keys of a file."""
        names = sorted(self.settings["of"], key=lambda name: (name != BASE, name))
        return [name for name in names if name != BEST or not self.best_of]

    @property
    def parents(self) -> list[str]:
        """All that it may be made of, candidates last."""
        return [*self.fixed, *(name for name in self.best_of if name not in self.fixed)]

    def check(self) -> None:
        """What is chosen has its place."""
        super().check()
        if self.best_of and BEST not in self.settings["of"]:
            raise BackfireError(
                f"{self.where}.best_of: the best of {', '.join(self.best_of)} has no place in of.",
                f"'{BEST}' in of stands for it, as in of: [base, {BEST}].",
            )


@dataclass(frozen=True)
class Mixed(Composed):
    """`mix`: weights averaged over variants, tensor by tensor (see `training.mixing`)."""

    @property
    def tried(self) -> list[dict[str, float]]:
        """Share of each part, base first, the others by name, and `best` last, in each mix that is tried: one, or as
        many as `shares` has, of which the best on the watched queries is made. A list in `of` means equal shares.

        The first one's tokenizer and prompts are the mix's.
        """
        of, order = (
            self.settings["of"],
            [*self.fixed, *([BEST] if self.best_of and BEST in self.settings["of"] else [])],
        )
        if self.settings.get("shares"):
            found = [dict(zip(of, (1 - share, share), strict=True)) for share in self.settings["shares"]]
        else:
            found = [dict(of) if isinstance(of, dict) else {name: 1 / len(of) for name in of}]
        return [{name: shares[name] for name in order} for shares in found]

    @property
    def over_seeds(self) -> bool:
        """Whether all seeds of its parents are averaged into one model."""
        return self.settings["over_seeds"]

    def check(self) -> None:
        """Shares sum to 1, as those of an average do."""
        super().check()
        of = self.settings["of"]
        if self.settings.get("shares") and (isinstance(of, dict) or len(of) != 2):
            raise BackfireError(
                f"{self.where}.shares: they are of the second of two variants, and of has {', '.join(of)}.",
                f"list two in of, as of: [{BASE}, full_hard], without shares of their own.",
            )
        weights = self.tried[0]
        total = sum(weights.values())
        if not math.isclose(total, 1, abs_tol=1e-6):
            shares = ", ".join(f"{name}: {share / total:.4g}" for name, share in weights.items()) if total else ""
            raise BackfireError(
                f"{self.where}.of: the shares sum to {total:g}.",
                "let them sum to 1" + (f", as {{{shares}}}." if shares else "; one may be negative, not all."),
            )


@dataclass(frozen=True)
class Lexical(Variant):
    """`bm25`: the lexical baseline (see `retrieval.lexical`)."""

    embedded: ClassVar[bool] = False
    costed: ClassVar[bool] = True
    searches: ClassVar[bool] = True


@dataclass(frozen=True)
class Fused(Composed):
    """`fuse`: reciprocal rank fusion of the runs of others (see `retrieval.fusion`)."""

    embedded: ClassVar[bool] = False


@dataclass(frozen=True)
class Reranked(Variant):
    """`rerank`: the first passages of another's run in the order of a cross-encoder (see `retrieval.reranking`)."""

    embedded: ClassVar[bool] = False
    costed: ClassVar[bool] = True

    @property
    def model(self) -> str:
        """Hub name or folder of the cross-encoder."""
        return self.settings["model"]

    @property
    def source(self) -> dict[str, Any]:
        """What the cross-encoder is: its name, the digest of its weights, the key that names it."""
        return {"name": self.model, "sha256": self.settings["model_sha256"], "where": f"{self.where}.model"}

    @property
    def parents(self) -> list[str]:
        """The one whose run is reranked."""
        return [self.settings["of"]]


@dataclass(frozen=True)
class Given(Variant):
    """`run`: TREC runs that another tool made."""

    embedded: ClassVar[bool] = False

    @property
    def files(self) -> dict[tuple[str, str], str]:
        """The run of each (collection, split)."""
        return {tuple(place.split("/", 1)): path for place, path in self.settings["runs"].items()}


METHODS: dict[str, type[Variant]] = {
    "none": Taken,
    "full": Trained,
    "lora": Trained,
    "mix": Mixed,
    "bm25": Lexical,
    "fuse": Fused,
    "rerank": Reranked,
    "run": Given,
}


def variant(name: str, settings: dict[str, Any]) -> Variant:
    """The variant of that name, by its method."""
    return METHODS[settings["method"]](name, settings)
