"""The variants between two recipes, which say how much of the difference each part of the recipe is worth.

A ladder has two ends, trained variants whose recipes differ in some factors. A rung is a variant with the settings of
the first end but for some factors, which it takes from the second. Rungs are trained and ranked like all variants;
they are no candidates and make no claims of their own.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, permutations
from math import factorial
from typing import Any

from backfire.errors import BackfireError, nearest
from backfire.keyed import key
from backfire.study.parts import known
from backfire.study.variants import Variant

# Up to so many factors all variants between the ends are made: 14 of them.
ALL_UP_TO = 4
# Orders that are drawn where there are more factors.
ORDERS = 8
# What stands between the first end's name and the factors in the name of a rung.
JOINT = "--"
# File names may have 255 bytes; ends are put after this one.
LONGEST = 200

_ABSENT = object()
Path = tuple[str, ...]


@dataclass(frozen=True)
class Ladder:
    """Rungs between the variants `start` and `end`, by the factors that each has as `end` has them."""

    start: str
    end: str
    factors: Mapping[str, list[Path]]
    """Keys of a variant's settings, by factor; (loss, margin) is one within another."""
    orders: list[tuple[str, ...]]
    """Orders in which the factors are changed, over which a factor's part is averaged."""
    rungs: Mapping[str, frozenset[str]]
    """Factors of each variant of the ladder, both ends among them."""
    made: Mapping[str, dict[str, Any]] = field(repr=False)
    """Settings of the rungs that no variant of the study has."""
    changes: Mapping[str, list[tuple[str, str, str]]]
    """What each factor changes: key, what `start` has, what `end` has."""

    @property
    def plain(self) -> dict[str, Any]:
        """What attribution needs of it, as a rule's parameters hold it."""
        return {
            "start": self.start,
            "end": self.end,
            "factors": list(self.factors),
            "orders": [list(order) for order in self.orders],
            # Pairs: the keys of parameters are sorted, and rungs have an order.
            "rungs": [[name, sorted(taken)] for name, taken in self.rungs.items()],
        }

    def explained(self, error: BackfireError) -> BackfireError:
        """An error about a variant that the ladder makes, told as such; any other as it is."""
        found = [name for name in self.made if name in error.message]
        if not found:
            return error
        name = max(found, key=len)
        taken = ", ".join(sorted(self.rungs[name]))
        return BackfireError(
            f"{error.message} '{name}' is a variant that the ladder makes, with {taken} of '{self.end}' and all else "
            f"of '{self.start}'.",
            "put settings that only go together into one factor, or let both ends have settings that go together in "
            "every combination.",
        )


def ladder_between(block: Mapping[str, Any], variants: Mapping[str, Variant]) -> Ladder:
    """The ladder of the configuration's block `ladder`.

    Raises `BackfireError` for ends that are not trained, or differ in more than the factors; for factors that make no
    difference, share a key or name none; and for a variant of the study that has the name of a rung and another recipe.
    """
    ends = [known(f"ladder.{key}", block[key], variants, "variant") for key in ("from", "to")]
    for key_, end in zip(("from", "to"), ends, strict=True):
        if not end.trained:
            raise BackfireError(
                f"ladder.{key_}: '{end.name}' is not trained (its method is {end.settings['method']}).",
                "a ladder stands between two trained variants, whose recipes differ.",
            )
    if ends[0] is ends[1]:
        raise BackfireError(
            f"ladder: from and to are both '{ends[0].name}'.", "name two variants, whose recipes differ in the factors."
        )
    start, end = (each.settings for each in ends)
    # By name: a study that a job reads from its parameters has its keys in that order.
    paths = {name: [tuple(each.split(".")) for each in keys] for name, keys in sorted(block["factors"].items())}
    for name, keys in paths.items():
        for path in keys:
            _check_key(f"ladder.factors.{name}", path, start, end)
        if all(_at(start, path) == _at(end, path) for path in keys):
            alike = ", ".join(f"{'.'.join(path)} ({_shown(_at(start, path))})" for path in keys)
            raise BackfireError(
                f"ladder.factors.{name}: '{ends[0].name}' and '{ends[1].name}' have the same {alike}.",
                "a factor is what they differ in; leave this one out, or let one of the variants differ.",
            )
    _check_apart(paths)
    whole = _with(start, end, [path for keys in paths.values() for path in keys])
    if left := _differing(whole, end):
        told = [f"{'.'.join(path)} ({_shown(_at(whole, path))} and {_shown(_at(end, path))})" for path in left]
        raise BackfireError(
            f"ladder: '{ends[0].name}' and '{ends[1].name}' also differ in {', '.join(told)}, which is no factor.",
            f"add it to a factor, as {left[0][-1]}: [{'.'.join(left[0])}], or let both variants have the same.",
        )
    orders = _orders(list(paths), block["orders"], block["seed"])
    rungs, made = {}, {}
    for taken in _subsets(list(paths), orders):
        settings = _with(start, end, [path for name in taken for path in paths[name]])
        name = _name_of(taken, settings, ends, list(paths), variants)
        rungs[name] = frozenset(taken)
        if name not in variants:
            made[name] = settings
    changes = {
        name: [
            (".".join(path), _shown(_at(start, path)), _shown(_at(end, path)))
            for path in keys
            if _at(start, path) != _at(end, path)
        ]
        for name, keys in paths.items()
    }
    return Ladder(ends[0].name, ends[1].name, paths, orders, rungs, made, changes)


def _name_of(
    taken: tuple[str, ...], settings: dict, ends: list[Variant], factors: list[str], variants: Mapping[str, Variant]
) -> str:
    """Name of a rung: that of the variant of the study which has its recipe, or one made of its factors."""
    if not taken or len(taken) == len(factors):
        return ends[bool(taken)].name
    # Of several the first by name, as jobs know the variants in that order.
    for each in sorted(variants):
        if variants[each].settings == settings:
            return each
    name = f"{ends[0].name}{JOINT}{'-'.join(taken)}"
    if len(name) > LONGEST:
        raise BackfireError(
            f"ladder.factors: the variant {name[:LONGEST]}... would have a name of {len(name)} characters, which is "
            "too long for a folder.",
            "give factors and variants shorter names.",
        )
    if name in variants:
        raise BackfireError(
            f"variants.{name}: the ladder makes a variant of this name, with {', '.join(taken)} of '{ends[1].name}', "
            "and this one has another recipe.",
            "give yours another name.",
        )
    return name


def _orders(factors: list[str], wanted: int | None, seed: int) -> list[tuple[str, ...]]:
    """The orders: all of them where they are few or asked for, else a draw, each with its reverse after it."""
    count, whole = len(factors), factorial(len(factors))
    if wanted is None:
        wanted = whole if count <= ALL_UP_TO else ORDERS
    if wanted >= whole:
        return list(permutations(factors))
    found: dict[tuple[str, ...], None] = {}
    turn = 0
    while len(found) < wanted:
        order = tuple(sorted(factors, key=lambda name: key("ladder", seed, turn, name)))
        found |= dict.fromkeys((order, order[::-1]))
        turn += 1
    return list(found)[:wanted]


def _subsets(factors: list[str], orders: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The sets of factors that some order passes through, the smaller first, their factors in the ladder's order."""
    passed = {frozenset(order[:count]) for order in orders for count in range(len(factors) + 1)}
    for count in range(len(factors) + 1):
        yield from (taken for taken in combinations(factors, count) if frozenset(taken) in passed)


def _check_key(where: str, path: Path, start: dict, end: dict) -> None:
    """Raise `BackfireError` for a key that neither recipe has, or one within blocks of different kinds."""
    name = ".".join(path)
    if all(_at(settings, path) is _ABSENT for settings in (start, end)):
        keys = {".".join(each) for settings in (start, end) for each in _paths(settings)}
        raise BackfireError(f"{where}: '{name}' is no setting of these variants.", nearest(name, keys))
    if len(path) == 1:
        return
    blocks = [_at(settings, path[:-1]) for settings in (start, end)]
    if sum(isinstance(block, dict) for block in blocks) == 1:
        raise BackfireError(
            f"{where}: '{name}' is part of {'.'.join(path[:-1])}, which only one of the two has.",
            f"take {'.'.join(path[:-1])} as a whole for a factor.",
        )
    kinds = [block.get("name") if isinstance(block, dict) else None for block in blocks]
    if not all(isinstance(block, dict) for block in blocks) or kinds[0] != kinds[1]:
        found = " and ".join(_shown(block if kind is None else kind) for block, kind in zip(blocks, kinds, strict=True))
        raise BackfireError(
            f"{where}: '{name}' is part of {'.'.join(path[:-1])}, which is of two kinds ({found}).",
            f"take {'.'.join(path[:-1])} as a whole for a factor.",
        )


def _check_apart(paths: Mapping[str, list[Path]]) -> None:
    """Raise `BackfireError` where two factors set the same key, or one a key within another's."""
    every = [(name, path) for name, keys in paths.items() for path in keys]
    for (name, path), (other, longer) in combinations(sorted(every, key=lambda pair: len(pair[1])), 2):
        if longer[: len(path)] == path:
            raise BackfireError(
                f"ladder.factors: '{'.'.join(longer)}' is in '{name}' and in '{other}'."
                if name != other
                else f"ladder.factors.{name}: '{'.'.join(longer)}' is named twice.",
                "a setting belongs to one factor, once.",
            )


def _with(start: dict, end: dict, paths: list[Path]) -> dict:
    """Settings of `start` with those at `paths` as in `end`."""
    made = copy.deepcopy(start)
    for *parents, last in paths:
        block = made
        for each in parents:
            block = block[each]
        value = _at(end, (*parents, last))
        if value is _ABSENT:
            block.pop(last, None)
        else:
            block[last] = copy.deepcopy(value)
    return made


def _at(settings: Any, path: Path) -> Any:
    for each in path:
        if not isinstance(settings, dict) or each not in settings:
            return _ABSENT
        settings = settings[each]
    return settings


def _paths(settings: dict, above: Path = ()) -> Iterator[Path]:
    """Every key and every key within it."""
    for name, value in settings.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))


def _differing(one: dict, other: dict, above: Path = ()) -> list[Path]:
    """The innermost keys in which two recipes differ."""
    found = []
    for name in dict.fromkeys([*one, *other]):
        a, b = one.get(name, _ABSENT), other.get(name, _ABSENT)
        if a == b:
            continue
        alike = isinstance(a, dict) and isinstance(b, dict) and a.get("name") == b.get("name")
        found += _differing(a, b, (*above, name)) if alike else [(*above, name)]
    return found


def _shown(value: Any) -> str:
    """A setting as one would say it: blocks without their braces, yes and no."""
    if value is None or value is _ABSENT:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
