"""What goes into a paper: the comparisons at the primary measure as a table, and as a paragraph."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backfire.evaluation.families import CLAIMING
from backfire.evaluation.verdict import Verdict, p_value, shortfall, words
from backfire.formats.atomic import replacing
from backfire.formats.tables import read_rows
from backfire.report.numbers import count, names

Row = Mapping[str, Any]


def write_tables(
    comparison: str | Path,
    model: str,
    primary: Sequence[str],
    rules: Mapping[str, Any],
    csv: str | Path,
    tex: str | Path,
    text: str | Path,
) -> None:
    """Write the main table as CSV and as LaTeX (for the package booktabs), and the paragraph as plain text.

    `primary` is (collection, split, measure), `rules` the block `comparison` of the configuration, `model` the base.
    """
    rows = main_rows(read_rows(comparison, "comparison").to_pylist(), primary)
    for path, content in (
        (csv, main_table(rows).to_csv(index=False, lineterminator="\n")),
        (tex, latex(rows, primary, rules)),
        (text, paragraph(rows, model, primary, rules) + "\n"),
    ):
        with replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8")


def main_rows(rows: Sequence[Row], primary: Sequence[str]) -> list[Row]:
    """The comparisons with base at the primary place, base first."""
    found = [row for row in rows if (row["collection"], row["split"], row["measure"]) == tuple(primary)]
    return [row for row in found if row["reference"] == "base"]


def main_table(rows: Sequence[Row]):
    """The main table as a data frame, numbers as they were computed."""
    import pandas as pd

    columns = [
        "variant", "seeds", "queries", "mean", "delta", "relative", "ci_low", "ci_high", "p_adjusted", "p_holm", "d_z",
        "wins", "ties", "losses", "margin", "p_equivalence_adjusted", "mde", "queries_needed", "seeds_needed",
        "verdict",
    ]  # fmt: skip
    table = pd.DataFrame([{name: row[name] for name in columns} for row in rows], columns=columns)
    # Whole numbers with gaps would be written as 7.0.
    return table.astype(dict.fromkeys(("wins", "ties", "losses", "queries_needed", "seeds_needed"), "Int64"))


def latex(rows: Sequence[Row], primary: Sequence[str], rules: Mapping[str, Any]) -> str:
    """The main table in LaTeX, by pandas; names are escaped."""
    import pandas as pd

    measure, level = primary[2], f"{100 * (1 - rules['alpha']):g}"
    cells = [
        {
            "Variant": row["variant"],
            measure: f"${row['mean']:.4f}$",
            "Difference": "" if row["ci_low"] is None else f"${row['delta']:+.4f}$",
            f"{level} % interval": "" if row["ci_low"] is None else f"$[{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]$",
            "Adjusted $p$": "" if row["p_adjusted"] is None else f"${p_value(row['p_adjusted'])}$",
            "$d_z$": "" if row["d_z"] is None else f"${row['d_z']:+.2f}$",
            "Verdict": "" if row["verdict"] == Verdict.BASE else row["verdict"].lower(),
        }
        for row in rows
    ]
    # What stands between dollar signs is mathematics, the rest is escaped.
    styled = pd.DataFrame(cells).style.hide(axis="index").format(escape="latex-math")
    styled = styled.format_index(escape="latex-math", axis=1)
    place = f"{primary[0]}/{primary[1]}".replace("_", r"\_")
    queries = count(rows[0]["queries"], "query", "queries") if rows else "no queries"
    uncorrected = words(rules, measure)["uncorrected"]
    return "% \\usepackage{booktabs}\n" + styled.to_latex(
        hrules=True,
        column_format="lrrrrrl",
        caption=f"Difference from the base on {place} ({queries}). {_coverage(rows)} {uncorrected}",
        label=f"tab:{primary[0]}-{primary[1]}",
        position_float="centering",
    )


def paragraph(rows: Sequence[Row], model: str, primary: Sequence[str], rules: Mapping[str, Any]) -> str:
    """A paragraph for a paper: what was compared, what was found, and by which tests."""
    base = next((row for row in rows if row["verdict"] == Verdict.BASE), None)
    claims = [row for row in rows if row["verdict"] != Verdict.BASE and row["family"] in CLAIMING]
    if base is None or not claims:
        return "Nothing was compared: the study has no variant besides the base."
    collection, split, measure = primary
    level, margin = f"{100 * (1 - rules['alpha']):g}", f"{claims[0]['margin']:g}"
    parts = [
        f"We compared {count(len(claims), 'variant')} with the base {model} on "
        f"{collection}/{split} ({count(base['queries'], 'query', 'queries')}) by {measure}, where it reached "
        f"{base['mean']:.4f}."
    ]
    for verdict, verb in _VERBS.items():
        found = [_told(row, level) for row in claims if row["verdict"] == verdict]
        if found:
            parts.append(f"{names(found)} {verb.format(margin=margin, be='was' if len(found) == 1 else 'were')}.")
    told = words(rules, measure)
    rule = " ".join(f"{outcome}: {told['meanings'][outcome]}." for outcome in _VERBS)
    seeds = {row["seeds"] for row in claims}
    one = seeds == {1}
    interval = (
        "bias-corrected and accelerated bootstrap intervals over queries"
        if one
        else ("percentile intervals of a bootstrap over seeds and queries")
    )
    family = (
        f"adjusted for the {len(claims)} variants by step-down maxT (Westfall and Young)"
        if len(claims) > 1
        else "of a single comparison"
    )
    parts.append(
        f"Differences are paired by query, with {level} % {interval} ({count(rules['resamples'])} resamples); p-values "
        f"are of two-sided sign-flip tests ({count(rules['flips'])} random assignments) and {family}; those of the "
        f"one-sided t tests against the margin are Holm-adjusted. Verdicts are as follows. {rule} {told['uncorrected']}"
    )
    detectable = [row["mde"] for row in claims if row["mde"] is not None]
    if detectable:
        low, high = min(detectable), max(detectable)
        parts.append(
            f"The smallest true effect that this design would have called better or worse with probability "
            f"{rules['power']:g} was {f'{low:.4f}' if f'{low:.4f}' == f'{high:.4f}' else f'{low:.4f} to {high:.4f}'}."
        )
    parts.append(_coverage(claims))
    return " ".join(parts)


_VERBS = {
    Verdict.HELPS: "{be} better",
    Verdict.HARMS: "{be} worse",
    Verdict.EQUIVALENT: "{be} equivalent within {margin}",
    Verdict.INCONCLUSIVE: "could not be told apart from it at this margin",
}


def _told(row: Row, level: str) -> str:
    interval = "no interval"
    if row["ci_low"] is not None:
        interval = f"{level} % interval {row['ci_low']:+.4f} to {row['ci_high']:+.4f}"
    p = p_value(row["p_adjusted"])
    effect = "" if row["d_z"] is None else f", d_z {row['d_z']:+.2f}"
    missing = shortfall(row)
    why = f"; within the margin, but {missing}" if missing else ""
    return f"{row['variant']} ({row['delta']:+.4f}, {interval}, p {p if p.startswith('<') else f'= {p}'}{effect}{why})"


def _coverage(rows: Sequence[Row]) -> str:
    """What the intervals are about."""
    seeds = min((row["seeds"] for row in rows if row["verdict"] != Verdict.BASE), default=1)
    if seeds == 1:
        return "One training seed: intervals and tests cover query sampling only."
    return f"{seeds} training seeds: intervals cover queries and seeds."
