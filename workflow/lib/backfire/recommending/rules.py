"""The choice among the systems of a study, by rules that are asked one after another.

No rule reads which point estimate is the highest before tests and costs have spoken: the query sets that a gain is
reported on would choose what is reported. What is left when all rules agree is told apart by its mean.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backfire.evaluation.verdict import Verdict
from backfire.recommending.costs import Cost
from backfire.recommending.systems import System
from backfire.study.variants import BASE

# A cost counts as higher where it is more than so many times the lowest: times of jobs beside one another vary.
SIMILAR = 2.0
# Seconds to set a system up, and milliseconds for a query, that nobody notices, whatever they are a multiple of.
UNNOTICED_SETUP, UNNOTICED_QUERY = 1.0, 5.0


class Reason(StrEnum):
    """Why a system is not the one that is recommended; CHOSEN for the one that is."""

    CHOSEN = "chosen"
    BASE = "base"
    HARMS = "worse than base"
    EQUIVALENT = "no gain that matters"
    OPEN = "no gain that is shown"
    FALLS = "loses elsewhere"
    SLOW = "takes too long for a query"
    BEATEN = "another is better"
    SETUP = "takes longer to set up"
    QUERY = "takes longer for a query"
    VECTORS = "searches larger indexes"
    MEAN = "its mean is lower"


# Of what does not help.
_NO_GAIN = {
    Verdict.HARMS: Reason.HARMS,
    Verdict.EQUIVALENT: Reason.EQUIVALENT,
    Verdict.INCONCLUSIVE: Reason.OPEN,
}
# What is asked of those that are left, one after another: of each cost whether it is similar to the lowest.
_COSTS: dict[Reason, tuple[Callable[[Cost], float | None], float]] = {
    Reason.SETUP: (lambda cost: cost.setup, UNNOTICED_SETUP),
    Reason.QUERY: (lambda cost: cost.query, UNNOTICED_QUERY),
    Reason.VECTORS: (lambda cost: cost.vectors, 0.0),
}


@dataclass(frozen=True)
class Choice:
    """The system to use, the one to use if that is none, and why each of the others is not it."""

    chosen: str
    runner_up: str | None
    reasons: dict[str, Reason]


def choose(systems: Sequence[System], better: Collection[tuple[str, str]], query_time: float | None) -> Choice:
    """Base where nothing helps, loses nothing elsewhere and answers in time; else the one of those that do than which
    none is shown to be better, and which costs least.

    `better` are the pairs (variant, reference) of those that help of which the first is shown to be better,
    `query_time` the milliseconds that a query may take more than under base, None for no limit. The runner-up is what
    the same rules choose without the chosen one; where that is base, the one with the highest mean of those that help
    and were left out, or else of those whose gain is not shown.
    """
    base = next(system for system in systems if system.name == BASE)
    others = [system for system in systems if system.name != BASE]
    reasons: dict[str, Reason] = {BASE: Reason.BASE}
    allowed = []
    for system in others:
        reason = _left_out(system, base, query_time)
        if reason is None:
            allowed.append(system)
        else:
            reasons[system.name] = reason
    if not allowed:
        reasons[BASE] = Reason.CHOSEN
        return Choice(BASE, _promising(others, reasons), reasons)
    chosen, why = _cheapest(allowed, better)
    reasons |= why
    rest = [system for system in allowed if system.name != chosen]
    runner_up = _cheapest(rest, better)[0] if rest else _promising(others, reasons)
    return Choice(chosen, runner_up, reasons)


def front(systems: Sequence[System]) -> list[str]:
    """Names of the systems that no other is as good as in mean and in every cost, and better than in one of them.

    What has a cost that is not known is left out.
    """
    known = [(system.name, (-system.delta, *found)) for system in systems if None not in (found := _costs(system))]
    return [
        name
        for name, own in known
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for _, other in known)
    ]


def _left_out(system: System, base: System, query_time: float | None) -> Reason | None:
    """Why a system may not be recommended whatever it costs else; None where it may."""
    if system.verdict != Verdict.HELPS:
        return _NO_GAIN[system.verdict]
    if system.falls:
        return Reason.FALLS
    known = None not in (query_time, system.cost.query, base.cost.query)
    return Reason.SLOW if known and system.cost.query - base.cost.query > query_time else None


def _cheapest(systems: Sequence[System], better: Collection[tuple[str, str]]) -> tuple[str, dict[str, Reason]]:
    """The one to use of those that may be, and why each of the others is not it."""
    names = {system.name for system in systems}
    beaten = {worse for best, worse in better if best in names}
    reasons = {name: Reason.BEATEN for name in names & beaten}
    left = [system for system in systems if system.name not in beaten]
    for reason, (cost, unnoticed) in _COSTS.items():
        lowest = min((found for system in left if (found := cost(system.cost)) is not None), default=None)
        if lowest is None:
            continue
        most = max(SIMILAR * lowest, lowest + unnoticed)
        # What is not known is no less than what is.
        kept = [system for system in left if (found := cost(system.cost)) is not None and found <= most]
        reasons |= {system.name: reason for system in left if system not in kept}
        left = kept
    chosen = max(left, key=lambda system: system.delta)
    reasons |= {system.name: Reason.MEAN for system in left} | {chosen.name: Reason.CHOSEN}
    return chosen.name, reasons


def _promising(systems: Sequence[System], reasons: dict[str, Reason]) -> str | None:
    """The highest mean of those that help and were left out, or else of those whose gain is above 0 and not shown."""
    for wanted in ((Reason.FALLS, Reason.SLOW), (Reason.OPEN,)):
        found = [system for system in systems if reasons.get(system.name) in wanted and system.delta > 0]
        if found:
            return max(found, key=lambda system: system.delta).name
    return None


def _costs(system: System) -> tuple[float | None, ...]:
    return tuple(cost(system.cost) for cost, _ in _COSTS.values())
