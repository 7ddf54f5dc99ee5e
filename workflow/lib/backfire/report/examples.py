"""The sets of examples in words: what they hold, where their negatives come from, and what was dropped."""

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

from backfire.report.numbers import count, names
from backfire.study.triples import Drawn, Listed, Published, Searched, Triples

Manifests = Sequence[Mapping[str, Any]]
"""Those of one set, one for each seed."""

_UNSEARCHED = {
    "random": "drawn evenly from the whole corpus",
    "judged": "drawn from the passages that are judged not relevant to the query",
}
_SEARCHED = {
    "bm25": "that BM25 finds for the query and that are not judged relevant",
    "hard": "that the base itself finds and that are not judged relevant",
}

_WORDS = {
    "absolute_margin": "above that of the positive less {:g}",
    "relative_margin": "above that of the positive less {:.4g} % of it",
    "max_score": "above {:g}",
    "min_score": "below {:g}",
}


def briefly(triples: Triples) -> str:
    """What a set holds, in a clause."""
    return _size(triples) if isinstance(triples, Listed) else f"{_size(triples)} with {triples.negatives} negatives"


def _size(triples: Triples) -> str:
    """How many examples a set holds, and of how many negatives where they are not triples."""
    each = triples.negatives_per_query
    unit, of = ("triple", "") if each == 1 else ("example", f" of {each} negatives")
    many = f"all {unit}s" if triples.size is None else count(triples.size, unit)
    if isinstance(triples, Listed):
        return f"{many}{of} of {triples.file}"
    if triples.size is None and isinstance(triples, Drawn):
        return f"one {unit}{of} per training query at most"
    return f"{many}{of}"


def held(triples: Triples, manifests: Manifests) -> str:
    """What a set holds, in sentences."""
    each = triples.negatives_per_query
    others = "one that is not" if each == 1 else f"{each} that are not"
    said = f"'{triples.name}' holds {_size(triples)} (a query, a relevant passage and {others}), the negatives "
    said += f"{_origin(triples)}."
    if triples.filter:
        said += f" {_filtered(triples, manifests)}"
    if isinstance(triples, Drawn) and triples.swapped:
        wrong, examples = (sum(manifest[key] for manifest in manifests) for key in ("swapped", "examples"))
        said += f" On purpose, positive and first negative have changed places in {count(wrong)} of its "
        said += f"{count(examples, 'example')}."
    if isinstance(triples, Listed):
        said += f" {_read(manifests)}"
    if of := next((manifest["of"] for manifest in manifests if "of" in manifest), None):
        said += f" Of these examples {names(f'{count(number)} are from {name}' for name, number in of.items())}."
    return f"{said} {_taught(triples.teacher)}" if triples.teacher else said


@singledispatch
def _origin(triples: Triples) -> str:
    raise NotImplementedError(type(triples))


@_origin.register
def _(triples: Drawn) -> str:
    return _UNSEARCHED[triples.negatives]


@_origin.register
def _(triples: Searched) -> str:
    window = f"the first {count(triples.depth, 'passage')}"
    if triples.ranks:
        first, last = map(count, triples.ranks)
        window = f"the passages at ranks {first} to {last} among those"
    return f"drawn from {window} {_SEARCHED[triples.negatives]}"


@_origin.register
def _(triples: Published) -> str:
    return f"those of the published triples {triples.source}"


@_origin.register
def _(triples: Listed) -> str:
    return f"those of the file {triples.file}"


def _read(manifests: Manifests) -> str:
    """What was taken of a file; a smaller size draws other rows for each seed, and all are read alike."""
    found = manifests[0]
    dropped = names(f"{count(number)} {why}" for why, number in found["dropped"].items())
    left = f"; left out: {dropped}" if dropped else ""
    read = f"Of its {count(found['read'], 'triple')}, named by {found['named by']}"
    return f"{read}, {count(found['kept'])} are taken{left}."


def _taught(teacher: Mapping[str, Any]) -> str:
    if teacher["kind"] == "bi-encoder":
        how = "a bi-encoder: by the similarity of its vectors"
    else:
        how = "a cross-encoder, which reads query and passage together: by its logits"
    return f"Each query and its passages are scored by {teacher['model']}, {how}."


def _filtered(triples: Triples, manifests: Manifests) -> str:
    """What its filter drops, and how much it dropped."""
    settings = triples.filter
    parts = [
        words.format(100 * settings[key] if key == "relative_margin" else settings[key])
        for key, words in _WORDS.items()
        if key in settings
    ]
    looked = sum(each["looked at"] for each in manifests)
    dropped = {key: sum(each["dropped"][key] for each in manifests) for key in _WORDS if key in settings}
    lacking = sum(each["without an example"] for each in manifests)
    each = f" ({names(f'{count(number)} by {key}' for key, number in dropped.items())})" if len(dropped) > 1 else ""
    seeds = f", over {count(len(manifests), 'seed')}" if len(manifests) > 1 else ""
    left = f"; {count(lacking, 'query', 'queries')} had too few left and gave no example" if lacking else ""
    return (
        f"Of '{triples.name}', negatives were dropped whose similarity to the query, by the base, is "
        f"{names(parts, 'or')}: "
        f"{count(sum(dropped.values()))} of {count(looked)} that were looked at{each}{left}{seeds}."
    )
