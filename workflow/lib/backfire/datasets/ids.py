"""Ids of `ir_datasets`: known ones, what they hold, and whether two belong to one corpus."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import ir_datasets
from ir_datasets.datasets.base import Dataset

from backfire.datasets import pydocs  # noqa: F401 (makes its ids known)
from backfire.datasets.sources import is_folder
from backfire.errors import BackfireError

_WHY = {
    "docs": "a corpus needs passages",
    "queries": "a split needs queries with judgments",
    "qrels": "a split needs queries with judgments",
    "docpairs": "published triples need pairs of a relevant and another passage",
}
_CALLED = {"docs": "passages", "docpairs": "document pairs"}


def registered(source: str, *parts: str) -> Dataset:
    """The dataset of an id, which has the `parts` (docs, queries, qrels, docpairs).

    Raises `BackfireError` that names the nearest ids for an unknown one, and ids of the family for a missing part.
    """
    try:
        dataset = ir_datasets.load(source)
    except KeyError:
        if source.startswith((".", "/", "~")):
            raise BackfireError(
                f"'{source}': there is no such folder.",
                "a path counts from the folder in which snakemake runs; ~ is not expanded.",
            ) from None
        near = get_close_matches(source, list(ir_datasets.registry), n=3, cutoff=0.5)
        raise BackfireError(
            f"'{source}' is neither an id of ir_datasets nor a folder.",
            f"did you mean {' or '.join(near)}?" if near else "ids are listed at https://ir-datasets.com.",
        ) from None
    for part in parts:
        if not dataset.has(part):
            raise BackfireError(
                f"the ir_datasets id '{source}' has no {_CALLED.get(part, part)}.",
                f"{_WHY[part]}; name an id that has them: {_family(source, 'qrels' if part == 'queries' else part)}.",
            )
    return dataset


def check_same_corpus(corpus: str, source: str) -> None:
    """Raise `BackfireError` unless the id `source` is about the passages of the corpus, which is an id too.

    An id without passages of its own cannot be told apart here; its judgments are checked passage by passage.
    """
    dataset = registered(source)
    if is_folder(corpus):
        # A folder brings its own query sets, so it can only be published triples.
        raise BackfireError(
            f"'{source}': published triples name passages by their ids, and the corpus '{corpus}' is a folder.",
            "name the ir_datasets id of the corpus instead of the folder, or draw negatives with random, bm25 or hard.",
        )
    if not dataset.has("docs"):
        return
    ours, theirs = ir_datasets.docs_parent_id(corpus), ir_datasets.docs_parent_id(source)
    if ours != theirs:
        raise BackfireError(
            f"'{source}' belongs to the corpus '{theirs}', not to '{corpus}'"
            f"{f' (that is, {ours})' if ours != corpus else ''}.",
            f"set corpus to {theirs}, or name a query set of '{ours}': {_family(ours, 'qrels')}.",
        )


def check_needs(corpus: str, needs: Mapping[str, Iterable[str]]) -> None:
    """Raise `BackfireError` unless every id of `needs` {id: parts} has its parts and is about the corpus."""
    for source, parts in needs.items():
        registered(source, *parts)
        check_same_corpus(corpus, source)


def _family(source: str, part: str) -> str:
    """Ids that have `part` for a hint: those below `source`, or where there are none those of its family."""
    for root in (source, source.split("/")[0]):
        ids = sorted(name for name in ir_datasets.registry if name == root or name.startswith(f"{root}/"))
        if found := [name for name in ids if ir_datasets.load(name).has(part)]:
            return ", ".join(found[:8])
    return "none of its family does"
