"""The rows that the page reasons about: comparisons with base, by place; the headline; the form of advice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfire.evaluation.families import CLAIMING, HELPERS
from backfire.evaluation.verdict import Verdict
from backfire.formats.tables import read_rows
from backfire.report.curves import Curve
from backfire.report.numbers import names
from backfire.study.study import Study
from backfire.study.triples import Triples, triples_named
from backfire.study.variants import BASE, variant

Row = dict[str, Any]
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Advice:
    """An instruction and the numbers that it rests on."""

    title: str
    text: str
    settings: str = ""
    """Lines of a configuration that do what is advised."""


@dataclass(frozen=True)
class Findings:
    """The table `comparison`, with what it takes to read it."""

    rows: list[Row]
    primary: Place
    """(collection, split, measure) of the headline."""
    variants: dict[str, dict]
    """Settings of every variant, in the study's order."""
    triples: dict[str, Triples]
    alpha: float
    trained_on: Sequence[str] = ()
    """The collections that hold text which variants are trained on."""
    curves: Sequence[Curve] = ()
    """What happened in each training."""
    moved: Sequence[Row] = ()
    """Rows of the table `geometry`: how far each model's space has moved from base's, among others."""
    systems: Sequence[Row] = ()
    """Rows of the table `recommendation`."""
    query_time: float | None = None
    """Milliseconds that a query may take more than under base for a system to be recommended."""

    def at(self, place: Place) -> dict[str, Row]:
        """Comparisons with base at one (collection, split, measure), by variant in the study's order."""
        found = {row["variant"]: row for row in self.rows if _place(row) == place and row["reference"] == BASE}
        return {name: found[name] for name in self.variants if name in found}

    @property
    def claims(self) -> dict[str, Row]:
        """Rows of the variants at the primary place, alternatives among them, but for those passed over in a choice."""
        return {name: row for name, row in self.at(self.primary).items() if row["family"] in CLAIMING}

    @property
    def base(self) -> Row | None:
        """Row of the base at the primary place."""
        return next((row for row in self.at(self.primary).values() if row["verdict"] == Verdict.BASE), None)

    @property
    def places(self) -> list[Place]:
        """Every (collection, split, measure), those of the primary split first, else in the table's order."""
        places = list(dict.fromkeys(_place(row) for row in self.rows))
        return sorted(places, key=lambda place: place[:2] != self.primary[:2])

    @property
    def seeds(self) -> int:
        """Training seeds behind each claim; the smallest number when they differ, 0 without a claim."""
        return min((row["seeds"] for row in self.claims.values()), default=0)

    @property
    def helpers(self) -> list[Row]:
        """Comparisons of the variants that help with one another: every pair, the higher mean first."""
        return [row for row in self.rows if row["family"] == HELPERS]

    @property
    def others(self) -> list[Row]:
        """Comparisons at the primary place with another variant than base, no two variants twice."""
        found = [row for row in self.rows if _place(row) == self.primary and row["reference"] != BASE]
        asked = {frozenset((row["variant"], row["reference"])) for row in found if row["family"] != HELPERS}
        return [
            row
            for row in found
            if row["family"] != HELPERS or frozenset((row["variant"], row["reference"])) not in asked
        ]

    def having(self, verdict: Verdict) -> list[str]:
        """Names of the variants with that verdict at the primary place."""
        return [name for name, row in self.claims.items() if row["verdict"] == verdict]

    @property
    def other_text(self) -> list[Place]:
        """The places of collections that no variant is trained on."""
        return [place for place in self.places if place[0] not in self.trained_on]

    def trainings(self, variant: str) -> list[Curve]:
        """The curves of each seed of a variant."""
        return [curve for curve in self.curves if curve.variant == variant]

    def geometry(self, variant: str, quantity: str) -> float | None:
        """Mean over the seeds of a quantity of a variant's space on the primary collection; None where it has none."""
        key = (variant, self.primary[0], quantity)
        values = [row["value"] for row in self.moved if (row["variant"], row["collection"], row["quantity"]) == key]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    def trained(self, name: str) -> bool:
        """Whether a variant was trained here."""
        return variant(name, self.variants[name]).trained

    def taught(self, name: str) -> bool:
        """Whether a training of this study stands behind a variant."""
        each = variant(name, self.variants[name])
        return each.trained or any(map(self.taught, each.parents))

    @property
    def called(self) -> str:
        """What the variants that make a claim are called: fine-tuned, where all of them are."""
        return "fine-tuned variant" if all(map(self.trained, self.claims)) else "variant"

    def negatives(self, variant: str) -> str | None:
        """Where a variant's negatives come from."""
        triples = self.variants[variant].get("triples")
        return self.triples[triples].negatives if triples else None


def read_findings(
    comparison: str | Path,
    geometry: str | Path,
    systems: str | Path,
    curves: Sequence[Curve],
    config: dict[str, Any],
    variants: Sequence[str],
) -> Findings:
    """Findings from the tables `comparison`, `geometry` and `recommendation` (`systems`).

    `variants` is the study's order of those of `config`.
    """
    return Findings(
        rows=read_rows(comparison, "comparison").to_pylist(),
        primary=tuple(config["primary"][key] for key in ("collection", "split", "measure")),
        variants={name: config["variants"][name] for name in variants},
        triples={name: triples_named(name, block) for name, block in config["triples"].items()},
        alpha=config["comparison"]["alpha"],
        trained_on=Study(config).trained_on,
        curves=curves,
        moved=read_rows(geometry, "geometry").to_pylist(),
        systems=read_rows(systems, "recommendation").to_pylist(),
        query_time=config["recommendation"]["query_time"],
    )


def _place(row: Row) -> Place:
    return row["collection"], row["split"], row["measure"]


_PHRASES = {
    Verdict.HELPS: ("helps", "help"),
    Verdict.HARMS: ("backfires", "backfire"),
    Verdict.EQUIVALENT: ("is equivalent to base", "are equivalent to base"),
    Verdict.INCONCLUSIVE: ("cannot be told apart from base", "cannot be told apart from base"),
}


def headline(findings: Findings) -> str:
    """One sentence that says which variants help, which backfire, and which cannot be told apart from base."""
    claims = findings.claims
    if not claims:
        return "Nothing was fine-tuned: this study measures the base model alone."
    groups = {verdict: findings.having(verdict) for verdict in _PHRASES if findings.having(verdict)}
    if len(groups) == 1:
        verdict, members = next(iter(groups.items()))
        if len(members) == 1:
            return f"The one {findings.called}, {members[0]}, {_PHRASES[verdict][0]}."
        everyone = "No" if verdict == Verdict.INCONCLUSIVE else "All"
        rest = "can be told apart from base" if verdict == Verdict.INCONCLUSIVE else _PHRASES[verdict][1]
        subject = findings.called if everyone == "No" else f"{len(members)} {findings.called}s"
        return f"{everyone} {subject} {rest}: {names(members)}."
    parts = [
        f"{len(members)} {_PHRASES[verdict][len(members) > 1]} ({', '.join(members)})"
        for verdict, members in groups.items()
    ]
    return f"Of {len(claims)} {findings.called}s, {names(parts)}."
