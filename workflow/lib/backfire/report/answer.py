"""The answer in a few lines of plain text, for the end of a run: what came out, and what to do."""

from collections.abc import Sequence

from backfire.report.findings import Advice, Findings, headline
from backfire.report.numbers import count, interval, plain, signed

# Spaces before what belongs to a line above.
_IN = "  "


def answer(findings: Findings, advice: Sequence[Advice], study: str, page: str) -> str:
    """Headline, the claims with their intervals by size, the titles of the advice, and where the page is."""
    lines = [f"{study}: {headline(findings)}"]
    claims = sorted(findings.claims.items(), key=lambda claim: -(claim[1]["delta"] or 0.0))
    if claims and findings.base:
        collection, split, measure = findings.primary
        asked = count(findings.base["queries"], "query", "queries")
        lines.append(
            f"{measure} on {collection}/{split}, {asked}, base {plain(findings.base['mean'])}; difference from base "
            f"with its {100 * (1 - findings.alpha):g} % interval:"
        )
        name_width = max(len(name) for name, _ in claims)
        verdict_width = max(len(row["verdict"]) for _, row in claims)
        lines += [
            f"{_IN}{name:<{name_width}}  {row['verdict']:<{verdict_width}}  {signed(row['delta'])} "
            f"{interval(row['ci_low'], row['ci_high'])}"
            for name, row in claims
        ]
    if advice:
        lines += ["What to do:"]
        lines += [f"{_IN}{each.title}" for each in advice]
    return "\n".join([*lines, f"The report: {page}"]) + "\n"
