"""Variants that differ in nothing but how many of their labels are wrong on purpose (`swapped` of their triples).

Loaded whenever the DAG is built, so it uses the standard library only.
"""

import json
from collections.abc import Iterable, Mapping

from backfire.study.triples import Triples
from backfire.study.variants import Variant

FEWEST = 3
"""Doses that a line is drawn through."""


def dose_groups(variants: Iterable[Variant], triples: Mapping[str, Triples]) -> list[list[tuple[str, float]]]:
    """Groups of trained variants whose recipes and sets of triples are the same but for `swapped`.

    Each is a list of (variant, share of its examples that are swapped), the smallest share first, of `FEWEST` different
    shares or more.
    """
    groups: dict[str, list[tuple[str, float]]] = {}
    for each in variants:
        # To one that follows a teacher the order of passages is no label.
        if not each.trained or each.objective.teacher:
            continue
        own = triples[each.triples].settings
        alike = [each.settings | {"triples": None}, {key: value for key, value in own.items() if key != "swapped"}]
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append((each.name, own.get("swapped", 0.0)))
    found = [sorted(group, key=lambda pair: pair[1]) for group in groups.values()]
    return [group for group in found if len({dose for _, dose in group}) >= FEWEST]
