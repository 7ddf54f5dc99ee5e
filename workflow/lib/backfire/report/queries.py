"""Which queries a variant moves: effects by kind of query, what may be said of them, and those that moved most."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backfire.formats.tables import read_rows
from backfire.report.findings import Row
from backfire.report.numbers import count, interval, names, p_value, plain, signed

FACTORS = {
    "length": "Query length",
    "overlap": "Words shared with the answer",
    "base_rank": "Base's rank of the answer",
}
"""Heading of each factor in the table `strata`."""

# What the low and the high end of a factor that is tested are called. By base's rank nothing is: see `dependences`.
_ENDS = {
    "length": ("short queries", "long queries"),
    "overlap": ("queries that share few words with their answer", "queries that share many"),
}
_KINDS = {
    "near duplicate": "a near duplicate",
    "hub": "a hub",
    "fewer words": "fewer of the query's words",
    "other": "any other",
}
"""Heading of each kind in the table `replaced`."""
_OF_KIND = {
    "near duplicate": "the passage that changes places with the answer is nearly its text",
    "hub": "the passage that changes places with the answer is a hub",
    "fewer words": "the passage that changes places with the answer holds fewer of the query's words",
}
_ARROW = " \N{RIGHTWARDS ARROW} "


def which_queries(
    moved: str | Path, strata: str | Path, replaced: str | Path, variants: Iterable[str], alpha: float
) -> dict[str, Any] | None:
    """What the page shows of the tables `moved`, `strata` and `replaced`, variants in the order of `variants`.

    `claims` are sentences (see `claims`), `factors` tables of effects, `moved` the queries of each variant, `replaced`
    what took the answer's place. None where no variant was trained.
    """
    rows = read_rows(strata, "strata").to_pylist()
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        found.setdefault(row["factor"], {}).setdefault(row["variant"], []).append(row)
    shown = [name for name in variants if any(name in each for each in found.values())]
    if not shown:
        return None
    groups = {
        factor: {name: sorted(each[name], key=lambda row: row["place"]) for name in shown}
        for factor, each in found.items()
    }
    return {
        "claims": claims(groups, alpha),
        "variants": shown,
        "factors": [_table(factor, groups[factor], alpha) for factor in FACTORS if factor in groups],
        "replaced": _replaced(read_rows(replaced, "replaced").to_pylist(), shown, alpha),
        "moved": _moved(read_rows(moved, "moved").to_pylist(), shown),
    }


def claims(groups: dict[str, dict[str, list[Row]]], alpha: float) -> list[str]:
    """What may be said of {factor: {variant: strata in order}}: a sentence where the adjusted p is below `alpha`.

    Of all others together it is said that nothing was shown, which is not that nothing is there.
    """
    said, silent = [], 0
    tested = [name for name in _ENDS if name in groups]
    for factor in tested:
        for strata in groups[factor].values():
            if _depends(strata[0], alpha):
                said.append(_by_trend(factor, strata))
            else:
                silent += 1
    if not said:
        asked = names([FACTORS[name][:1].lower() + FACTORS[name][1:] for name in tested], "or")
        said.append(
            f"It was not shown that the effect of any variant depends on {asked}: no adjusted p-value is below "
            f"{alpha:g}. That does not mean that there is no such dependence."
        )
    elif silent:
        said.append(
            f"For the other {count(silent, 'pair', 'pairs')} of variant and property no dependence was shown, which "
            "does not mean that there is none."
        )
    return said


def _depends(row: Row, alpha: float) -> bool:
    return row["p_adjusted"] is not None and row["p_adjusted"] < alpha


def _by_trend(factor: str, strata: list[Row]) -> str:
    """A dependence on a factor that has a low and a high end; what its means do not show is not said of them."""
    variant, rho = strata[0]["variant"], strata[0]["rho"]
    ends = [*zip(_ENDS[factor], (strata[0], strata[-1]), strict=True)]
    (better, high), (worse, low) = ends if rho < 0 else ends[::-1]
    evidence = f"rank correlation {signed(rho, 2)}, adjusted p {p_value(strata[0]['p_adjusted'])}"
    if not low["delta"] < high["delta"]:
        heading = FACTORS[factor]
        return (
            f"The effect of {variant} depends on {heading[:1].lower()}{heading[1:]} ({evidence}), but its means at the "
            "two ends do not show how."
        )
    hurts, helps = (low["ci_high"] or 0) < 0, (high["ci_low"] or 0) > 0
    if hurts and helps:
        what = f"hurts {worse} and helps {better}"
    elif hurts:
        what = f"hurts {worse} more than {better}"
    elif helps:
        what = f"helps {better} more than {worse}"
    else:
        what = f"does worse on {worse} than on {better}"
    numbers = names(
        f"{signed(row['delta'])} {interval(row['ci_low'], row['ci_high'])} at {row['stratum']}" for row in (low, high)
    )
    return f"{variant} {what}: {numbers} ({evidence})."


def _table(factor: str, by_variant: dict[str, list[Row]], alpha: float) -> dict[str, Any]:
    """The strata of a factor, the same for all variants, a cell per variant; and the test of each."""
    first = next(iter(by_variant.values()))
    return {
        "title": FACTORS[factor],
        "tested": factor in _ENDS,
        "rows": [
            {
                "stratum": row["stratum"],
                "queries": count(row["queries"], "query", "queries"),
                "cells": [
                    {
                        "delta": signed(strata[place]["delta"]),
                        "interval": interval(strata[place]["ci_low"], strata[place]["ci_high"]),
                    }
                    for strata in by_variant.values()
                ],
            }
            for place, row in enumerate(first)
        ],
        "tests": [_test(strata[0], alpha) for strata in by_variant.values()],
    }


def _test(row: Row, alpha: float) -> dict[str, str]:
    if row["rho"] is None:
        return {"said": "no test", "numbers": ""}
    said = "depends" if _depends(row, alpha) else "not shown"
    return {"said": said, "numbers": f"ρ {signed(row['rho'], 2)}, p {p_value(row['p_adjusted'])}"}


def _replaced(rows: list[Row], variants: list[str], alpha: float) -> dict[str, Any]:
    """Exchanges of each kind, losses and gains, a row for each variant; and a sentence for what differs."""
    by_kind = {(row["variant"], row["direction"], row["kind"]): row for row in rows}
    heads = list(dict.fromkeys(row["kind"] for row in rows))
    told = []
    for name in variants:
        for kind in heads:
            lost, won = (by_kind[name, direction, kind] for direction in ("loss", "gain"))
            if not _depends(lost, alpha):
                continue
            more = lost["queries"] * won["named"] > won["queries"] * lost["named"]
            told.append(
                f"{name}: {_OF_KIND[kind]} {'more' if more else 'less'} often where it loses ({lost['queries']} of "
                f"{lost['named']}) than where it gains ({won['queries']} of {won['named']}; adjusted p "
                f"{p_value(lost['p_adjusted'])})."
            )
    return {
        "kinds": [_KINDS[kind] for kind in heads],
        "told": told,
        "rows": [
            {
                "variant": name,
                "direction": said,
                "moved": count(by_kind[name, direction, heads[0]]["moved"]),
                "hubs": count(by_kind[name, direction, heads[0]]["hubs"]),
                "cells": [count(by_kind[name, direction, kind]["queries"]) for kind in heads],
            }
            for name in variants
            for direction, said in (("loss", "lost to"), ("gain", "gained from"))
        ],
    }


def _moved(rows: list[Row], variants: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "variant": name,
            "losses": [_query(row) for row in rows if (row["variant"], row["direction"]) == (name, "loss")],
            "gains": [_query(row) for row in rows if (row["variant"], row["direction"]) == (name, "gain")],
        }
        for name in variants
    ]


def _query(row: Row) -> dict[str, Any]:
    return {
        "text": row["query"],
        "id": row["query_id"],
        "change": f"{plain(row['base_value'])}{_ARROW}{plain(row['variant_value'])}",
        "delta": signed(row["delta"]),
        "ranks": _ranks(row["base_rank"], row["variant_rank"]),
        "answer": row["answer"],
        "answer_id": row["answer_id"],
        "passages": [
            {"id": doc_id, "text": text, "ranks": _ranks(base, tuned)}
            for doc_id, text, base, tuned in zip(
                row["passage_ids"],
                row["passage_texts"],
                row["passage_base_ranks"],
                row["passage_variant_ranks"],
                strict=True,
            )
        ],
    }


def _ranks(base: int | None, tuned: int | None) -> str:
    return _ARROW.join("not found" if rank is None else count(rank) for rank in (base, tuned))
