"""What can be seen of a study before it trains: findings, each with its reason, its remedy and how sure it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backfire.study.study import Study

FAULT, RISK, NOTE = "fault", "risk", "note"
"""How grave: it defeats what is asked; it often goes wrong; it limits what the result can say."""
GRADES = (FAULT, RISK, NOTE)
CERTAIN, MEASURED, USUAL = "certain", "measured", "rule of thumb"
"""How sure: it follows from the settings; it was counted in this study's data; it is what others found usual."""


@dataclass(frozen=True)
class Finding:
    """`check`: its kind; `about`: the key of the configuration that it is about; `found`, `why` and `remedy`:
    sentences."""

    check: str
    about: str
    grade: str
    found: str
    why: str
    remedy: str
    sure: str


@dataclass(frozen=True)
class Look:
    """A variant before its first step, over some of its examples: see `training.steps.Judged`.

    `similarity`: what the model is searched by; `cut_queries`, `cut_passages`: shares of texts that its `max_length`
    cuts.
    """

    examples: int
    loss: float
    accuracy: float
    active: float | None
    norm: float
    similarity: str
    cut_queries: float
    cut_passages: float


@dataclass(frozen=True)
class Power:
    """What a comparison at the primary place can settle, before the spread of its differences is known.

    `effects` and `queries`: by how the spread of differences compares with that of base's values (`RATIOS`), the
    smallest true difference that gets a verdict, and the queries that would tell none from twice the margin.
    """

    measure: str
    queries: int
    mean: float
    claims: int
    margin: float
    effects: dict[str, float]
    needed: dict[str, int | None]


@dataclass(frozen=True)
class Seen:
    """What findings are made from.

    `forensics`: rows of the table of that name, by triple set and fact. `cut`: by collection, the share of its passages
    that `encoding.max_length` cuts. `shared`: by collection and query set, how many queries are (all but) asked in
    training too, of how many. `repeated`: by triple set, the share of examples whose positive, or a passage of the very
    same text, is that of another query, and `examples` how many it has. `lacking`: by variant that is taken as it is,
    the prompts that its family was trained with and that it has not. `unlooked`: why a variant was not looked at.
    """

    study: Study
    looks: Mapping[str, Look] = field(default_factory=dict)
    unlooked: Mapping[str, str] = field(default_factory=dict)
    forensics: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    cut: Mapping[str, float] = field(default_factory=dict)
    shared: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    repeated: Mapping[str, float] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, int] = field(default_factory=dict)
    power: Power | None = None
