"""Published figures, as studies/expected.yaml holds them: what was measured of which variant, by whom, and how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from backfire.errors import BackfireError, nearest
from backfire.study.variants import BASE

# Keys of each block of the file, with the types that a value may have.
_TEXT, _WHOLE, _NUMBER = (str,), (int,), (int, float)
_FIGURE = {"model": _TEXT, "variant": _TEXT, "value": _NUMBER, "source": _TEXT}
_KEYS = {
    "query_sets": {"passages": _WHOLE, "queries": _WHOLE, "corpus_digest": _TEXT, "queries_digest": _TEXT},
    "sources": {"name": _TEXT, "protocol": (dict,)},
    "variants": {"corpus": _TEXT, "triples": (dict,), "settings": (dict,)},
    "figures": _FIGURE | {"query_set": _TEXT, "measure": _TEXT, "tolerance": _NUMBER},
    "trainings": _FIGURE | {"quantity": _TEXT, "tolerance": _NUMBER},
    "not_compared": _FIGURE | {"corpus": _TEXT, "quantity": _TEXT, "because": _TEXT},
}
_OPTIONAL = {"corpus_digest", "queries_digest"}
_PROTOCOL = {"text": (str, type(None)), "max_length": (int, type(None)), "precision": (str, type(None))}

# What is known of a training of this run, and in words.
LOSS, ACCURACY = "train_loss", "held_out_accuracy"
QUANTITIES = {LOSS: "final train loss", ACCURACY: "triplet accuracy"}


@dataclass(frozen=True)
class Recipe:
    """What was trained: a variant of a study is the same where it has these settings, start from base, on triples of
    these settings, of a collection of that corpus, kept whole."""

    corpus: str
    triples: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Published:
    """A published value of base, where `recipe` is None, or of what that recipe gives."""

    model: str
    sha256: str
    variant: str
    recipe: Recipe | None
    value: float
    source: str


@dataclass(frozen=True)
class Figure(Published):
    """A mean over the queries of a set, with the set's size and digests and the source's protocol."""

    query_set: str
    measure: str
    tolerance: float
    protocol: Mapping[str, Any]
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Training(Published):
    """A `quantity` of a training, one of `QUANTITIES`."""

    quantity: str
    tolerance: float


@dataclass(frozen=True)
class NotCompared(Published):
    """A `quantity`, in words, that a study of that corpus has not measured, `because` of what."""

    corpus: str
    quantity: str
    because: str


def read_published(path: str | Path) -> list[Published]:
    """The published values in the file `path`, in its order: figures, trainings, and what is not compared.

    Raises `BackfireError` for an unknown or missing key, a value of another type, or a name that is not defined.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    _check(path, "top level", content, {"models": (dict,), **dict.fromkeys(_KEYS, (dict, list))})
    for block in ("query_sets", "sources", "variants"):
        for name, entry in content[block].items():
            _check(path, f"{block}.{name}", entry, _KEYS[block])
    for name, entry in content["sources"].items():
        _check(path, f"sources.{name}.protocol", entry["protocol"], _PROTOCOL)
    recipes = {BASE: None} | {name: Recipe(**entry) for name, entry in content["variants"].items()}
    return [
        read(path, f"{block}, entry {number}", entry, content, recipes)
        for block, read in (("figures", _figure), ("trainings", _training), ("not_compared", _not_compared))
        for number, entry in enumerate(content[block], start=1)
    ]


def _figure(path: str | Path, where: str, entry: Any, content: Mapping[str, Any], recipes: Mapping[str, Any]) -> Figure:
    common = _common(path, where, entry, "figures", content, recipes)
    _known(path, f"{where}: query_set", entry["query_set"], content["query_sets"])
    protocol = content["sources"][entry["source"]]["protocol"]
    return Figure(**common, protocol=protocol, identity=content["query_sets"][entry["query_set"]])


def _training(
    path: str | Path, where: str, entry: Any, content: Mapping[str, Any], recipes: Mapping[str, Any]
) -> Training:
    common = _common(path, where, entry, "trainings", content, recipes)
    _known(path, f"{where}: quantity", entry["quantity"], QUANTITIES)
    if common["recipe"] is None:
        raise BackfireError(f"{path}: {where}: base is not trained.", "name one of the variants of this file.")
    return Training(**common)


def _not_compared(
    path: str | Path, where: str, entry: Any, content: Mapping[str, Any], recipes: Mapping[str, Any]
) -> NotCompared:
    return NotCompared(**_common(path, where, entry, "not_compared", content, recipes))


def _common(
    path: str | Path, where: str, entry: Any, block: str, content: Mapping[str, Any], recipes: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of an entry, with what its names stand for."""
    _check(path, where, entry, _KEYS[block])
    for key, known in (("model", content["models"]), ("source", content["sources"]), ("variant", recipes)):
        _known(path, f"{where}: {key}", entry[key], known)
    if entry.get("tolerance", 1) <= 0:
        raise BackfireError(f"{path}: {where}: tolerance is {entry['tolerance']}.", "give a number above 0.")
    return entry | {
        "source": content["sources"][entry["source"]]["name"],
        "sha256": content["models"][entry["model"]],
        "recipe": recipes[entry["variant"]],
    }


def _check(path: str | Path, where: str, entry: Any, keys: Mapping[str, tuple[type, ...]]) -> None:
    """Raise unless `entry` is a mapping with these keys, values of the types given."""
    if not isinstance(entry, dict):
        raise BackfireError(f"{path}: {where}: found {entry!r}, expected a block of keys.", _HINT)
    for key in entry:
        _known(path, f"{where}: key", key, keys)
    for key, types in keys.items():
        if key not in entry:
            if key in _OPTIONAL:
                continue
            raise BackfireError(f"{path}: {where}: the key '{key}' is missing.", _HINT)
        if not isinstance(entry[key], types) or isinstance(entry[key], bool):
            expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
            raise BackfireError(f"{path}: {where}: {key} is {entry[key]!r}, expected {expected}.", _HINT)


_HINT = "every key is explained in the comments of studies/expected.yaml."


def _known(path: str | Path, where: str, name: Any, known: Iterable[str]) -> None:
    if name not in known:
        raise BackfireError(f"{path}: {where} '{name}' is not known.", nearest(name, known))
