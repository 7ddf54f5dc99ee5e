"""Published figures beside those of this run, where both are about the same weights, queries and passages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from backfire.encoders.folders import PINS
from backfire.errors import BackfireError, nearest
from backfire.report.findings import Row
from backfire.report.numbers import plain, signed
from backfire.study.study import Study
from backfire.study.variants import BASE

# Keys of each block of the file, with the types that a value may have.
_TEXT, _WHOLE, _NUMBER = (str,), (int,), (int, float)
_KEYS = {
    "query_sets": {"passages": _WHOLE, "queries": _WHOLE, "corpus_digest": _TEXT, "queries_digest": _TEXT},
    "sources": {"name": _TEXT, "protocol": (dict,)},
    "figures": {
        "query_set": _TEXT,
        "model": _TEXT,
        "which": _TEXT,
        "measure": _TEXT,
        "value": _NUMBER,
        "tolerance": _NUMBER,
        "source": _TEXT,
    },
}
_OPTIONAL = {"corpus_digest", "queries_digest"}
_PROTOCOL = {"text": (str, type(None)), "max_length": (int, type(None)), "precision": (str, type(None))}
_WHICH = ("base", "worst")
# Beyond this many tolerances a figure is not near any more.
NEAR = 3


@dataclass(frozen=True)
class Figure:
    """A published figure, with its source's name and protocol and the size and digests of its query set."""

    query_set: str
    model: str
    sha256: str
    which: str
    measure: str
    value: float
    tolerance: float
    source: str
    protocol: Mapping[str, Any]
    identity: Mapping[str, Any]


def read_figures(path: str | Path) -> list[Figure]:
    """The published figures in the file `path`.

    Raises `BackfireError` for an unknown or missing key, a value of another type, or a name that is not defined.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    _check(path, "top level", content, {"models": (dict,), **dict.fromkeys(_KEYS, (dict, list))})
    for block in ("query_sets", "sources"):
        for name, entry in content[block].items():
            _check(path, f"{block}.{name}", entry, _KEYS[block])
    for name, entry in content["sources"].items():
        _check(path, f"sources.{name}.protocol", entry["protocol"], _PROTOCOL)
    figures = []
    for number, entry in enumerate(content["figures"], start=1):
        where = f"figures, entry {number}"
        _check(path, where, entry, _KEYS["figures"])
        for key, known in (("query_set", "query_sets"), ("model", "models"), ("source", "sources")):
            _known(path, f"{where}: {key}", entry[key], content[known])
        _known(path, f"{where}: which", entry["which"], _WHICH)
        if entry["tolerance"] <= 0:
            raise BackfireError(f"{path}: {where}: tolerance is {entry['tolerance']}.", "give a number above 0.")
        source = content["sources"][entry["source"]]
        figures.append(
            Figure(
                **entry | {"source": source["name"]},
                sha256=content["models"][entry["model"]],
                protocol=source["protocol"],
                identity=content["query_sets"][entry["query_set"]],
            )
        )
    return figures


def reference_table(
    path: str | Path, config: Mapping[str, Any], manifests: Mapping[str, Mapping], rows: Iterable[Row]
) -> list[dict[str, Any]]:
    """A row for each published figure that fits the study, none where nothing fits.

    A figure fits where the base has its name and weights, a collection is whole (no `size`) with as many passages
    and queries, and the split has its id or, in a folder, the digests. `manifests` are those of the collections,
    `rows` the table `comparison`. Raises as `read_figures` does.
    """
    study = Study(dict(config))
    means: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        means.setdefault((row["collection"], row["split"], row["measure"]), {})[row["variant"]] = row["mean"]
    table = []
    for figure in read_figures(path):
        if not _same_weights(figure, config):
            continue
        for collection, split in study.evaluations:
            found = means.get((collection, split, figure.measure), {})
            variant = _variant(figure, {name: found[name] for name in found if name == BASE or name in study.trained})
            if variant is not None and _same_data(figure, study, collection, split, manifests[collection]):
                table.append(_row(figure, study, collection, split, variant, found[variant]))
    return table


def mark(distance: float, tolerance: float) -> str:
    """`OK` up to the tolerance, `near` up to three times as much, else `off`."""
    # Differences of decimal fractions miss them in the last bits: 0.3056 - 0.3026 is 0.003 and a little.
    reach = abs(distance) * (1 - 1e-9)
    return "OK" if reach <= tolerance else "near" if reach <= NEAR * tolerance else "off"


def _row(figure: Figure, study: Study, collection: str, split: str, variant: str, mean: float) -> dict[str, Any]:
    distance = mean - figure.value
    return {
        "what": "base" if figure.which == BASE else f"worst trained variant (here {variant})",
        "place": f"{collection}/{split}",
        "measure": figure.measure,
        # As it was published, to its last digit.
        "published": f"{figure.value:g}",
        "found": plain(mean, 5),
        "distance": signed(distance, 5),
        "tolerance": f"{figure.tolerance:g}",
        "mark": mark(distance, figure.tolerance),
        "protocol": _protocols(figure, study, collection),
        "source": figure.source,
    }


def _protocols(figure: Figure, study: Study, collection: str) -> list[dict[str, Any]]:
    """Published and own setting of each factor, and a note where they differ."""
    encoding = study.config["encoding"]
    own = {
        "text": study.collections[collection].text,
        "max_length": encoding["max_length"],
        "precision": encoding["precision"],
    }
    words = {"text": "text", "max_length": "length", "precision": "precision"}
    return [
        {
            "factor": words[factor],
            "published": "not stated" if stated is None else str(stated),
            "found": str(own[factor]),
            "note": _note(stated, own[factor]),
        }
        for factor, stated in ((factor, figure.protocol[factor]) for factor in words)
    ]


def _note(stated: Any, own: Any) -> str:
    """What is not stated differs from nothing; what `auto` came to depends on the machine."""
    if stated is None or stated == own:
        return ""
    return "may differ" if own == "auto" else "differs"


def _variant(figure: Figure, means: Mapping[str, float]) -> str | None:
    """The variant of this run that a figure is about, None where it has none; `means` of base and what was trained."""
    if figure.which == BASE:
        return BASE if BASE in means else None
    trained = {variant: mean for variant, mean in means.items() if variant != BASE}
    return min(trained, key=trained.__getitem__, default=None)


def _same_weights(figure: Figure, config: Mapping[str, Any]) -> bool:
    """Whether the base has the figure's name and the digest, which the run has checked its weights against."""
    name = config["base_model"]
    expected = config["base_model_sha256"] or (PINS[name].sha256 if name in PINS else None)
    return name == figure.model and expected == figure.sha256


def _same_data(figure: Figure, study: Study, collection: str, split: str, manifest: Mapping[str, Any]) -> bool:
    chosen, identity = study.collections[collection], figure.identity
    corpus, queries = manifest["corpus"], manifest["splits"][split]
    if chosen.size is not None:
        return False
    if (corpus["read"], queries["queries"]["kept"]) != (identity["passages"], identity["queries"]):
        return False
    digests = (identity.get("corpus_digest"), identity.get("queries_digest"))
    return chosen.splits[split] == figure.query_set or (corpus["digest"], queries["digest"]) == digests


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
