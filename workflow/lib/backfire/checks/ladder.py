"""Checks of what a study says each part of a recipe is worth."""

from collections.abc import Iterator

from backfire.checks.verdicts import CLOSE

# Parts are sums of the same values in another order.
EXACT = 1e-12


def check_ladder(found) -> Iterator[str]:
    """At every place each factor has its row, the parts add up to the total, and the total is that of the ends."""
    ladder, table = found.study.ladder, found.tables.get("ladder")
    if (table is not None) != bool(ladder):
        yield f"the table ladder is {'missing' if table is None else 'there, and the study has no ladder'}"
    if table is None or not ladder:
        return
    measure = found.study.primary[2]
    means = found.tables["measures"].groupby(["variant", "collection", "split", "measure"])["value"].mean()
    for collection, split in found.study.evaluations:
        place = f"{collection}/{split}"
        here = table[(table["collection"] == collection) & (table["split"] == split) & (table["measure"] == measure)]
        rows = {part: here[here["part"] == part].set_index("name") for part in ("total", "factor", "rung")}
        if list(rows["factor"].index) != list(ladder.factors) or set(rows["rung"].index) != set(ladder.rungs):
            yield f"{place}: its factors or variants are not those of the configuration"
            continue
        if len(rows["total"]) != 1:
            yield f"{place}: there are {len(rows['total'])} totals"
            continue
        total = rows["total"]["delta"].iloc[0]
        ends = [means.get((name, collection, split, measure)) for name in (ladder.start, ladder.end)]
        if None in ends or abs(ends[1] - ends[0] - total) > CLOSE:
            yield f"{place}: the total is not the difference of the means of '{ladder.end}' and '{ladder.start}'"
        known = rows["factor"]["delta"].notna()
        if known.all() and abs(rows["factor"]["delta"].sum() - total) > EXACT:
            yield f"{place}: the parts do not add up to the total"
        if known.any() != known.all() or (~known).any() != (rows["factor"]["orders"] == 0).any():
            yield f"{place}: some parts are known and others are not"
        lost = rows["rung"]["diverged"].notna()
        if (lost != rows["rung"]["mean"].isna()).any():
            yield f"{place}: a variant has no mean and did not diverge, or diverged and has one"
