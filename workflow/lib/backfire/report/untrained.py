"""Advice that reads the training curves: was a variant trained at all, and was there anything to learn?"""

from collections.abc import Callable

from backfire.evaluation.verdict import Verdict
from backfire.report.curves import Watched
from backfire.report.findings import Advice, Findings
from backfire.report.numbers import count, names, rate
from backfire.study.variants import variant

# A space whose vectors and neighbourhoods are within this of base's has not moved: full fine-tuning that gained 0.02
# left 0.992 and 0.87, adapters whose rate was ten times too low 0.9999 and 0.98 (the default study).
STILL_COSINE, STILL_NEIGHBOURS = 0.999, 0.95
# Shares of active triplets at the end of training at which advice speaks.
FEW_ACTIVE, MOST_ACTIVE = 0.1, 0.95


def hardly_trained(findings: Findings) -> Advice | None:
    """A variant whose space and whose curve are those of base says nothing about its method."""
    told = standing(findings)
    if not told:
        return None
    evidence = " ".join(
        f"{name}: cosine to base {cosine:.4f}, neighbours kept {kept:.2f}"
        + (f", change on the development queries at most {max(changes):.4f}" if changes else "")
        + f" after {count(_steps(findings, name), 'step')} at a learning rate of "
        f"{rate(findings.variants[name]['learning_rate'])}."
        for name, (cosine, kept, changes) in told.items()
    )
    return Advice(
        f"Hardly trained: {names(told)}.",
        f"Raise the learning rate or the number of steps before judging the method; as it stands the result is that "
        f"of base. {evidence}",
    )


def standing(findings: Findings) -> dict[str, tuple[float, float, list[float]]]:
    """Trained variants without a verdict whose space and curve are those of base: cosine to base, neighbours kept, and
    the change on the development queries for each seed."""
    told = {}
    for name, row in findings.claims.items():
        cosine, kept = findings.geometry(name, "base_cosine"), findings.geometry(name, "neighbours_kept")
        judged = row["verdict"] in (Verdict.HELPS, Verdict.HARMS)
        # Passages that are frozen move no more than base's do.
        still = findings.trained(name) and not variant(name, findings.variants[name]).queries_alone
        if judged or not still or cosine is None or kept is None:
            continue
        changes = [abs(watched.last - watched.first) for watched in _watched(findings, name)]
        if cosine >= STILL_COSINE and kept >= STILL_NEIGHBOURS and all(change < row["margin"] for change in changes):
            told[name] = (cosine, kept, changes)
    return told


def little_left(findings: Findings) -> Advice | None:
    """Where nearly all triplets are satisfied at the end, more of the same teaches nothing."""
    told = _active_at_the_end(findings, lambda share: share <= FEW_ACTIVE)
    if not told:
        return None
    hard = {findings.negatives(name) for name in told} == {"hard"}
    return Advice(
        f"Little left to learn from these triples: {names(told)}.",
        f"At the end of training {_shares(told)} of the triplets were active: in all others the passage that answers "
        "was already nearer to the query than the negative by more than the margin, so they changed no weight. More "
        "epochs of the same triples will not help; "
        + ("draw negatives from higher up (a smaller depth)" if hard else "use harder negatives (negatives: hard)")
        + " or a larger margin of the loss.",
    )


def never_met(findings: Findings) -> Advice | None:
    """Where nearly all triplets are still violated at the end, the margin was not met by this much training."""
    told = _active_at_the_end(findings, lambda share: share >= MOST_ACTIVE)
    # What hardly moved could meet none.
    still = standing(findings)
    told = {name: share for name, share in told.items() if name not in still}
    if not told:
        return None
    return Advice(
        f"The margin was hardly ever met: {names(told)}.",
        f"At the end of training {_shares(told)} of the triplets were still active. Either the model needs more steps "
        "or a higher learning rate, or these negatives cannot be told from answers: a smaller margin of the loss, "
        "negatives from further down a ranking, or a look at what the negatives say.",
    )


def _watched(findings: Findings, variant: str) -> list[Watched]:
    """The development measure that comes closest to the primary one, for each seed that was watched."""
    measure = findings.primary[2]
    found = [curve.watched for curve in findings.trainings(variant) if curve.watched]
    return [watched.get(measure, next(iter(watched.values()))) for watched in found]


def _steps(findings: Findings, variant: str) -> int:
    return min((curve.steps for curve in findings.trainings(variant)), default=0)


def _active_at_the_end(findings: Findings, holds: Callable[[float], bool]) -> dict[str, float]:
    """Share of active triplets in the last window of each training, by variant, where `holds` for all its seeds."""
    shares = {
        name: [curve.active.last for curve in findings.trainings(name) if curve.active] for name in findings.claims
    }
    return {name: sum(of) / len(of) for name, of in shares.items() if of and all(map(holds, of))}


def _shares(told: dict[str, float]) -> str:
    return names(f"{100 * share:.0f} % ({name})" for name, share in told.items())
