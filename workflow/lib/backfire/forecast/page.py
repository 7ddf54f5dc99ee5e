"""The forecast as a page of text, for a terminal 100 columns wide."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from backfire.forecast.findings import FAULT, NOTE, RISK, Finding, Seen
from backfire.forecast.power import USUAL_CHANGE
from backfire.forecast.recipes import percent

WIDTH = 100
HEADINGS = {
    FAULT: "Faults of a recipe or of the data",
    RISK: "Risks",
    NOTE: "Limits of what the result can say",
}


def page(seen: Seen, findings: Sequence[Finding]) -> str:
    """Findings by how grave they are, then what was looked at; nothing but plain text."""
    return "\n".join(_lines(seen, findings)) + "\n"


def _lines(seen: Seen, findings: Sequence[Finding]) -> Iterator[str]:
    yield f"Before training: {seen.study.name}"
    if not any(each.grade != NOTE for each in findings):
        yield from _told("No fault and no risk was found.")
    for grade, heading in HEADINGS.items():
        some = [each for each in findings if each.grade == grade]
        if some:
            yield ""
            yield heading
        for group in grouped(some):
            for each in group:
                yield from wrap(f"{each.about}: {each.found}", WIDTH, initial_indent="  ", subsequent_indent="    ")
            yield from _told(f"Why: {group[0].why}")
            for remedy in dict.fromkeys(each.remedy for each in group):
                yield from _told(f"Usual remedy: {remedy}")
            yield from _told(f"How sure: {group[0].sure}.")
    if seen.looks:
        yield ""
        yield "Before the first step, on some of each variant's own examples"
        yield f"  {'variant':<28}{'examples':>9}{'loss':>9}{'active':>9}{'ranked right':>14}{'length':>8}"
        for name, look in seen.looks.items():
            active = "-" if look.active is None else percent(look.active)
            yield (
                f"  {name:<28}{look.examples:>9}{look.loss:>9.4f}{active:>9}{percent(look.accuracy):>14}"
                f"{look.norm:>8.2f}"
            )
    for name, why in seen.unlooked.items():
        yield from wrap(f"{name} was not looked at: {why}.", WIDTH, initial_indent="  ", subsequent_indent="    ")
    if found := seen.power:
        yield ""
        yield "What this study can settle"
        effects = ", ".join(f"{effect:.2g} for {name}" for name, effect in found.effects.items())
        needed = found.needed[USUAL_CHANGE]
        yield from _told(
            f"{found.queries:,} queries, base {found.measure} {found.mean:.4f}, {found.claims} comparisons. Smallest "
            f"true difference that gets a verdict, by how much of the ranking a variant changes: {effects}. "
            + (f"About {needed:,} queries would" if needed else "No number of queries that anyone has would")
            + f" tell no difference from twice the margin of {found.margin:g}."
        )


def show(path: str | Path) -> None:
    """Print a page that was written, where a run is followed."""
    print("\n" + Path(path).read_text(encoding="utf-8"), file=sys.stderr, flush=True)


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings of one kind, for one reason, together: in the order of the first of each."""
    found: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        found.setdefault((each.check, each.why, each.sure), []).append(each)
    return list(found.values())


def _told(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
