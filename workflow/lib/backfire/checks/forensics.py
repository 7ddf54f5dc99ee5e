"""Checks of what is said of the negatives."""

from collections.abc import Iterator

from backfire.explaining.triple_facts import FACTS


def check_forensics(found) -> Iterator[str]:
    """Every set that is trained on has every fact, shares lie in their intervals, and stricter filters keep no more."""
    facts, curves = found.tables.get("forensics"), found.tables.get("filter_curves")
    for name, table in (("forensics", facts), ("filter_curves", curves)):
        if (table is not None) != bool(found.study.used):
            yield f"the table {name} is {'missing' if table is None else 'there, and nothing is trained'}"
    if facts is None or curves is None:
        return
    for name in found.study.used:
        rows = facts[facts["triples"] == name].set_index("fact")
        if set(rows.index) != set(FACTS):
            yield f"the table forensics lacks facts of '{name}'"
            continue
        lacking = [fact for fact in FACTS if fact != "rank" and rows["value"].isna()[fact]]
        if lacking:
            yield f"the table forensics has no {lacking[0]} of '{name}'"
        shares = rows.loc[[fact for fact, each in FACTS.items() if each.share], ["value", "ci_low", "ci_high"]]
        ordered = shares[["ci_low", "value", "ci_high"]].assign(none=0.0, all=1.0)
        if (ordered[["none", "ci_low", "value", "ci_high", "all"]].diff(axis=1).iloc[:, 1:] < 0).any(axis=None):
            yield f"a share of '{name}' lies outside its interval"
        kept = curves[curves["triples"] == name].sort_values("relative_margin")["kept"]
        if not len(kept) or not kept.between(0, 1).all() or not kept.is_monotonic_decreasing:
            yield f"a stricter filter keeps more of '{name}'"


def check_doses(found) -> Iterator[str]:
    """Every group of variants that differ in their share of wrong labels has its line and its points everywhere."""
    table, groups = found.tables.get("doses"), found.study.doses
    if (table is not None) != bool(groups):
        yield f"the table doses is {'missing' if table is None else 'there, and no labels are wrong on purpose'}"
    if table is None:
        return
    for group in groups:
        for place in found.study.evaluations:
            rows = table[
                (table["group"] == group[0][0]) & (table["collection"] == place[0]) & (table["split"] == place[1])
            ]
            points = [*zip(rows["variant"], rows["dose"], strict=True)][1:]
            if points != group or rows["delta"].isna().any():
                yield f"the table doses lacks a line or a point of '{group[0][0]}' on {'/'.join(place)}"
