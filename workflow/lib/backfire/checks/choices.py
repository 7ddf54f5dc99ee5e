"""Checks of what a study chose among its variants, and of what it says other protocols of evaluation are worth."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from backfire.checks.verdicts import CLOSE, PLACE
from backfire.evaluation.families import CLAIMING
from backfire.evaluation.ties import TIES
from backfire.study.variants import BASE

OWN_ORDER, IDENTICAL = ("ties", "by passage id"), ("identical ids", "kept", "dropped")


def check_selections(found) -> Iterator[str]:
    """Each choice has its candidates on the watched split, one of them chosen, the best; the others claim nothing."""
    table = found.tables.get("selection")
    if (table is not None) != bool(found.study.selections):
        yield f"the table selection is {'missing' if table is None else 'there, and the study chooses nothing'}"
    if table is None or not found.study.selections:
        return
    if set(table["selection"]) != found.study.selections.keys():
        yield "its choices are not those of the configuration"
        return
    collection, split = found.study.watched
    kept = found.manifests[collection]["splits"][split]["queries"]["kept"]
    for name, selection in found.study.selections.items():
        rows = table[table["selection"] == name]
        if list(rows["variant"]) != selection.among:
            yield f"{name}: its candidates are {', '.join(rows['variant'])}, not {', '.join(selection.among)}"
        if set(rows[PLACE].apply(tuple, axis=1)) != {(collection, split, selection.measure)}:
            yield f"{name}: it was not chosen by {selection.measure} on {collection}/{split} alone"
        if (rows["queries"] != kept).any():
            yield f"{name}: a candidate was not measured on the {kept} queries of {collection}/{split}"
        if (rows["seeds"] != len(found.study.seeds)).any():
            yield f"{name}: a candidate was not measured with {len(found.study.seeds)} seed(s)"
        if not rows["mean"].between(0, 1).all():
            yield f"{name}: a mean is missing or not between 0 and 1"
        if rows["chosen"].sum() != 1:
            yield f"{name}: {rows['chosen'].sum()} candidates are chosen, not one"
        elif (rows["mean"] > rows.loc[rows["chosen"], "mean"].iloc[0] + CLOSE).any():
            yield f"{name}: the candidate that was chosen has not the highest mean"
    comparison = found.tables["comparison"]
    claiming = set(comparison.loc[comparison["family"].isin(CLAIMING), "variant"])
    for variant in sorted(claiming & set(table.loc[~table["chosen"], "variant"])):
        yield f"{variant} was not chosen and makes a claim"


def check_protocols(found) -> Iterator[str]:
    """Each choice of protocol stands beside the study's own, and its difference is that of the means."""
    study, table = found.study, found.tables.get("protocol")
    if (table is not None) != bool(study.config["protocol"]):
        yield f"the table protocol is {'missing' if table is None else 'there, and the study tries no other'}"
    if table is None or not study.config["protocol"]:
        return
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    place = {(row["collection"], row["split"]) for row in rows}
    if place != {study.protocol}:
        yield f"it is about {', '.join(map('/'.join, sorted(place)))}, not {'/'.join(study.protocol)}"
        return
    keys = [(row["factor"], row["choice"], row["own"], row["measure"]) for row in rows]
    wanted = [(*key, measure) for key, measure in product(_choices(study), study.config["measures"])]
    for factor, choice, _, measure in sorted(set(wanted) - set(keys)):
        yield f"there is no row for {factor} {choice}, {measure}"
    if len(keys) != len(set(keys)) or set(keys) - set(wanted):
        yield "a row occurs twice, or is of a choice that the configuration does not name"
        return
    collection, split = study.protocol
    kept = found.manifests[collection]["splits"][split]["queries"]["kept"]
    measured = found.tables["measures"]
    here = (measured["variant"] == BASE) & (measured["collection"] == collection) & (measured["split"] == split)
    # The watched split may be the one that protocols are tried on; its measures are in no table.
    means = measured[here].groupby("measure")["value"].mean().to_dict()
    own = {(row["factor"], row["measure"]): row["mean"] for row in rows if row["own"]}
    for row in rows:
        faults = _faults(row, own.get((row["factor"], row["measure"])), means.get(row["measure"]), kept)
        yield from (f"{row['factor']} {row['choice']}, {row['measure']}: {fault}" for fault in faults)
    by_order = {(row["choice"], row["measure"]): row["mean"] for row in rows if row["factor"] == OWN_ORDER[0]}
    for measure in study.config["measures"]:
        best, own_order, worst = (by_order.get((order, measure)) for order in ("best", OWN_ORDER[1], "worst"))
        if None not in (best, own_order, worst) and not worst - CLOSE <= own_order <= best + CLOSE:
            yield f"ties, {measure}: the study's own order lies outside the best and the worst"


def _choices(study) -> list[tuple[str, str, bool]]:
    """(factor, choice, whether it is the study's own) of every row, for each measure."""
    tried = [(choice.factor, str(choice.value)) for choice in study.choices.values()]
    found = [(factor, str(study.own_choices[factor]), True) for factor in dict.fromkeys(factor for factor, _ in tried)]
    found += [(*choice, False) for choice in tried]
    found += [(IDENTICAL[0], IDENTICAL[1], True), (IDENTICAL[0], IDENTICAL[2], False)]
    return [*found, (*OWN_ORDER, True), *((OWN_ORDER[0], order, False) for order in TIES)]


def _faults(row: dict[str, Any], own: float | None, base: float | None, kept: int) -> Iterator[str]:
    """What is wrong with a row; `own` is the mean of the study's protocol, `base` that in the measures."""
    if row["mean"] is None or not 0 <= row["mean"] <= 1:
        yield "the mean is missing or not between 0 and 1"
        return
    if row["queries"] != kept:
        yield f"it is the mean of {row['queries']} queries, not {kept}"
    if not 0 <= row["changed"] <= row["queries"]:
        yield f"{row['changed']} of {row['queries']} queries cannot change"
    if row["delta"] is None or (own is not None and abs(row["mean"] - own - row["delta"]) > CLOSE):
        yield "the difference is not that of the means"
        return
    bounds = (row["ci_low"], row["ci_high"])
    if row["own"]:
        if base is not None and abs(row["mean"] - base) > CLOSE:
            yield "the mean is not that of the measures"
        if bounds != (None, None) or row["delta"] or row["changed"]:
            yield "the study's own protocol has a difference from itself"
        return
    if (None in bounds) == (row["queries"] > 1):
        yield f"the interval {'has no value' if None in bounds else 'has a value where it means nothing'}"
    elif None not in bounds and not bounds[0] - CLOSE <= row["delta"] <= bounds[1] + CLOSE:
        yield "the interval does not hold the difference"
    if not row["changed"] and abs(row["delta"]) > CLOSE:
        yield "no query changed, and the mean did"
