"""The recommendation in words: which system to use, what it costs, the runner-up, and what would change the choice.

What is chosen, and why each other system is not, stands in the table `recommendation` (see `recommending.rules`).
"""

from collections.abc import Iterator
from functools import singledispatch
from typing import Any

from backfire.evaluation.verdict import Verdict
from backfire.recommending.make import CHOSEN, RUNNER_UP
from backfire.recommending.rules import Reason
from backfire.report.findings import Advice, Findings, Row
from backfire.report.numbers import count, difference, interval, names, plain, quantity
from backfire.study.variants import BASE, Fused, Lexical, Reranked, Taken, Variant, variant


def recommendation(findings: Findings) -> Advice:
    """The system to use, or base: what it reaches, the runner-up, what would change the choice, and the evidence.

    Asks for a variant where there is none.
    """
    if not findings.claims:
        return Advice("Add a variant to compare.", "Name at least one variant besides base in the configuration.")
    chosen = next(row for row in findings.systems if row["standing"] == CHOSEN)
    title, text, *evidence = _keep(findings) if chosen["variant"] == BASE else _use(findings, chosen)
    parts = [text, *_runner_up(findings, chosen), *_would_change(findings, chosen), *evidence]
    return Advice(title, " ".join(filter(None, parts)))


@singledispatch
def instruction(system: Variant) -> str:
    """What to do to have a system."""
    return f"Use {system.name}"


@instruction.register
def _(system: Taken) -> str:
    if system.model:
        return f"Use {system.model} in place of the base ({system.name})"
    return f"Keep the base, with what {system.name} sets"


@instruction.register
def _(system: Lexical) -> str:
    return f"Search by BM25 in place of the base ({system.name})"


@instruction.register
def _(system: Fused) -> str:
    added = [name for name in system.settings["of"] if name != BASE]
    if BASE in system.settings["of"]:
        return f"Keep the base and add {names(added)} by rank fusion ({system.name})"
    return f"Use {system.name}, {names(added)} fused by rank"


@instruction.register
def _(system: Reranked) -> str:
    kept = "Keep the base and rerank" if system.parents == [BASE] else f"Use {system.name}: rerank"
    named = f" ({system.name})" if system.parents == [BASE] else ""
    return f"{kept} the first {system.settings['depth']} passages of {system.parents[0]} by {system.model}{named}"


def _use(findings: Findings, chosen: Row) -> tuple[str, str, str]:
    """The instruction, what the system reaches and by which cost it was chosen, and the comparisons with others."""
    name, where = chosen["variant"], "/".join(findings.primary[:2])
    row, helping = findings.claims[name], findings.having(Verdict.HELPS)
    title = instruction(variant(name, findings.variants[name]))
    title += f": {findings.primary[2]} {difference(row)}{_costs(chosen)}."
    text = f"On {where} it reaches {plain(row['mean'])} against {plain(row['reference_mean'])}"
    if len(helping) == 1:
        only = "the only variant" if len(findings.claims) > 1 else "a variant"
        return title, f"{text}, {only} whose gain over base there is beyond chance.", ""
    family = f" and as a family of {len(findings.helpers)}" if len(findings.helpers) > 1 else ""
    pairs = "; ".join(_against(findings, name))
    return (
        title,
        f"{text}.{_why(findings, chosen)}",
        f"{names(helping)} gain over base, compared by query{family}: {pairs}.",
    )


def _costs(row: Row) -> str:
    """What a system takes, as it goes on a sentence; nothing where it is not known."""
    if row["query_time"] is None:
        return ""
    training = f"{quantity(row['training_time'], 's')} of training" if row["training_time"] else "no training"
    passages = (
        f"{count(row['passages'], 'passage')} to encode again" if row["passages"] else "no passage to encode again"
    )
    return f", {training}, {passages}, {quantity(row['query_time'], 'ms')} a query"


def _against(findings: Findings, name: str) -> list[str]:
    """The comparisons of a system with the others that help, in words: those that settle something first."""
    pairs = [row for row in findings.helpers if name in (row["variant"], row["reference"])]
    other = lambda row: f"{row['reference'] if row['variant'] == name else row['variant']} ({difference(row)})"  # noqa: E731
    told = []
    if better := [other(row) for row in pairs if (row["variant"], row["verdict"]) == (name, Verdict.HELPS)]:
        told.append(f"{name} is better than {names(better)}")
    if same := [other(row) for row in pairs if row["verdict"] == Verdict.EQUIVALENT]:
        told.append(f"{name} is equivalent to {names(same)}")
    if unsettled := [other(row) for row in pairs if row["verdict"] == Verdict.INCONCLUSIVE]:
        told.append(f"{name} cannot be told apart from {names(unsettled)}")
    return told


def _why(findings: Findings, chosen: Row) -> str:
    """By which cost it is chosen among those that no other is shown to be better than."""
    dearer = {Reason.SETUP: "to set up", Reason.QUERY: "for a query", Reason.VECTORS: "in its indexes"}
    reasons = [row["reason"] for row in findings.systems]
    found = [said for reason, said in dearer.items() if reason in reasons]
    if found:
        return f" No other is shown to be better than {chosen['variant']}, which costs least {names(found)}."
    if Reason.MEAN in reasons:
        return (
            f" No other is shown to be better, and they cost about the same; {chosen['variant']} has the highest mean."
        )
    return ""


def _keep(findings: Findings) -> tuple[str, str]:
    claims, where = findings.claims, "/".join(findings.primary[:2])
    helping, harming = findings.having(Verdict.HELPS), findings.having(Verdict.HARMS)
    equivalent = findings.having(Verdict.EQUIVALENT)
    if helping:
        systems = {row["variant"]: row for row in findings.systems}
        but = names(f"{name} {_reason(findings, systems[name], None)}" for name in helping)
        gain = names(f"{name} ({difference(claims[name])})" for name in helping)
        return (
            "Keep the base model.",
            f"{gain} {'gains' if len(helping) == 1 else 'gain'} over it on {where}, but {but}.",
        )
    if len(harming) == len(claims):
        every = f"{'Every' if len(claims) > 1 else 'The'} {findings.called} ranks"
        return (
            "Keep the base model.",
            f"{every} worse than base on {where}. Before training on more data, change the recipe: a lower learning "
            "rate, fewer steps, other negatives. A base that was trained on this kind of data already has little to "
            "gain from it and much to lose.",
        )
    if harming:
        return "Keep the base model.", f"No variant helps on {where}, and {names(harming)} made it worse."
    if len(equivalent) == len(claims):
        spans = names(f"{name} {interval(claims[name]['ci_low'], claims[name]['ci_high'])}" for name in equivalent)
        return (
            "Keep the base model.",
            f"On {where} nothing that was tried changes anything that matters: {spans}, all within the margin of "
            f"{claims[equivalent[0]]['margin']:g}. A simpler system to serve and to explain is the one you have.",
        )
    queries = max(row["queries"] for row in claims.values())
    return (
        "Keep the base model for now.",
        f"No variant showed a difference on {where} that {count(queries, 'query', 'queries')} can resolve.",
    )


def _runner_up(findings: Findings, chosen: Row) -> Iterator[str]:
    for row in findings.systems:
        if row["standing"] == RUNNER_UP:
            reason = _reason(findings, row, chosen)
            yield f"Runner-up: {row['variant']} ({difference(row)}{_costs(row)}), which {reason}."


def _reason(findings: Findings, row: Row, chosen: Row | None) -> str:
    """Why a system is not recommended, as it goes on its name."""
    instead = chosen["variant"] if chosen else BASE
    against = lambda column, unit: f"{quantity(row[column], unit)} against {quantity(chosen[column], unit)}"  # noqa: E731
    return {
        Reason.HARMS: lambda: "ranks worse than base",
        Reason.EQUIVALENT: lambda: "changes nothing that matters",
        Reason.OPEN: lambda: "may gain, which is not shown",
        Reason.FALLS: lambda: f"loses on {row['falls']}",
        Reason.SLOW: lambda: (
            f"takes {quantity(row['query_time'], 'ms')} a query, "
            f"more than {findings.query_time:g} ms beyond base (recommendation.query_time)"
        ),
        Reason.BEATEN: lambda: f"is shown to be worse than {_better(findings, row['variant'], instead)}",
        Reason.SETUP: lambda: (
            "takes longer to set up"
            + (f", {against('setup_time', 's')}" if row["setup_time"] is not None else " as far as is known")
        ),
        Reason.QUERY: lambda: f"takes longer for a query, {against('query_time', 'ms')}",
        Reason.VECTORS: lambda: f"searches larger indexes, {against('index_size', 'MiB')}",
        Reason.MEAN: lambda: "costs about as much and has a lower mean",
    }[Reason(row["reason"])]()


def _better(findings: Findings, name: str, instead: str) -> str:
    """A system that one is shown to be worse than; the recommended one where it is that."""
    found = [row["variant"] for row in findings.helpers if row["reference"] == name and row["verdict"] == Verdict.HELPS]
    return instead if instead in found else found[0]


def _would_change(findings: Findings, chosen: Row) -> Iterator[str]:
    """What the choice rests on that could be otherwise, most telling first."""
    name, told = chosen["variant"], []
    if (higher := _higher(findings, chosen)) is not None:
        pair = next(row for row in findings.helpers if {row["variant"], row["reference"]} == {higher["variant"], name})
        if pair["verdict"] == Verdict.INCONCLUSIVE:
            told.append(f"{higher['variant']} if it is better, which is open ({difference(pair)}; {_settled(pair)})")
    losing: dict[str, list[str]] = {}
    for row in findings.systems:
        if row["reason"] == Reason.FALLS:
            losing.setdefault(row["falls"], []).append(f"{row['variant']} ({difference(row)})")
        elif row["reason"] == Reason.SLOW:
            told.append(f"{row['variant']} ({difference(row)}) if a query may take {quantity(row['query_time'], 'ms')}")
    told += [f"{names(found, 'or')} if queries like those of {falls} do not matter" for falls, found in losing.items()]
    if name == BASE:
        told += [
            f"{row['variant']} if its gain is real ({difference(row)}; {_settled(findings.claims[row['variant']])})"
            for row in findings.systems
            if row["standing"] == RUNNER_UP and row["reason"] == Reason.OPEN
        ]
    if told:
        yield f"What would change the choice: {'; '.join(told)}."
    if chosen["open"]:
        yield f"Whether {name} loses on {chosen['open']} is not known."
    if findings.taught(name) and findings.claims[name]["seeds"] == 1:
        yield "It was trained once; another seed could turn out otherwise."


def _higher(findings: Findings, chosen: Row) -> Row | None:
    """The system with the highest mean, above the chosen one's, of those that cost more and were not beaten."""
    dearer = (Reason.SETUP, Reason.QUERY, Reason.VECTORS)
    found = [row for row in findings.systems if row["reason"] in dearer and row["delta"] > chosen["delta"]]
    return max(found, key=lambda row: row["delta"], default=None)


def _settled(row: Row) -> str:
    """How many queries would settle a comparison."""
    needed = row["queries_needed"]
    queries = f"about {count(needed, 'query', 'queries')}" if needed else "no number of queries"
    return f"{queries} would settle it"


def systems_table(findings: Findings) -> list[dict[str, Any]]:
    """A row for each system: what it gains, what it takes, and why it is, or is not, recommended."""
    chosen = next((row for row in findings.systems if row["standing"] == CHOSEN), None)
    return [
        {
            "variant": row["variant"],
            "verdict": row["verdict"],
            "difference": "" if row["variant"] == BASE else difference(row),
            "cells": [
                quantity(row["setup_time"], "s"),
                quantity(row["query_time"], "ms"),
                quantity(row["index_size"], "MiB"),
            ],
            "front": row["front"],
            "chosen": row["standing"] == CHOSEN,
            "why": _standing(findings, row, chosen),
        }
        for row in findings.systems
    ]


def _standing(findings: Findings, row: Row, chosen: Row) -> str:
    if row["standing"] == CHOSEN:
        return "recommended"
    if row["variant"] == BASE:
        return "what the others are compared with"
    runner_up = "runner-up: " if row["standing"] == RUNNER_UP else ""
    return f"{runner_up}{_reason(findings, row, chosen)}"
