"""Sources of a study's collections: whether they are there, and whether two names stand for the same queries.

Loaded whenever the DAG is built: `ir_datasets` itself is asked only where its catalogue, or the disk, leaves a doubt.
"""

import filecmp
from itertools import combinations, product
from pathlib import Path

from backfire.datasets.catalogue import has_parts, judgments_of, original
from backfire.datasets.layout import RECORDS, ending
from backfire.datasets.sources import (
    PARTS,
    PYDOCS,
    hub_parts,
    input_files,
    is_folder,
    is_hub,
    is_pairs,
    is_pydocs,
    needed_parts,
    pairs_files,
    saved_splits,
)
from backfire.errors import BackfireError, nearest
from backfire.study.parts import TRAIN, Collection
from backfire.study.study import Study

# As in datasets/extraction.py, which the DAG must not load; a test compares them.
PYDOCS_SETS = ("train", "dev", "test", "unseen")


def check_sources(study: Study, thoroughly: bool = False) -> None:
    """Raise `BackfireError` for a source that is not there, lacks a part, or belongs to another corpus.

    Folders are looked at. Ids are looked up in what `ir_datasets` publishes; it is loaded (0.3 s) for those that are
    not found there, to say what is wrong with them, and `thoroughly` for all.
    """
    known = {PYDOCS, *(f"{PYDOCS}/{name}" for name in PYDOCS_SETS)}
    for collection in study.collections.values():
        if collection.of:
            continue
        if is_pairs(collection.corpus):
            _check_pairs(collection, thoroughly)
            continue
        _check_no_pairs(collection)
        # One after another, so that a folder's corpus is told before its splits.
        input_files(collection.corpus)
        for query_set in collection.query_sets:
            input_files(collection.corpus, collection.source(query_set))
        published = study.published.values() if collection.name == study.train_on else []
        sources = list(map(collection.source, collection.query_sets))
        needs = needed_parts(collection.corpus, sources, published)
        ours = [] if is_folder(collection.corpus) else [collection.corpus, *sources]
        doubtful = {each: [] for each in ours if is_pydocs(each) and each not in known}
        doubtful |= {
            source: parts
            for source, parts in needs.items()
            if thoroughly or not has_parts(source, parts) or not _same_corpus(collection.corpus, source)
        }
        if doubtful:
            _ask_the_library(collection.corpus, doubtful, study.texts(collection.name) if thoroughly else [])


def _check_pairs(collection: Collection, thoroughly: bool) -> None:
    """Raise `BackfireError` for a part that pairs do not have, and `thoroughly` for columns that cannot be told."""
    where = f"collections.{collection.name}"
    has = PARTS
    if is_hub(collection.corpus):
        try:
            hub_parts(collection.corpus)
        except BackfireError as error:
            raise BackfireError(f"{where}.corpus: {error.message}", error.hint) from None
    elif Path(collection.corpus).is_dir() and None not in (saved := saved_splits(collection.corpus)):
        has = tuple(saved)
    for query_set in collection.query_sets:
        source = collection.source(query_set)
        if source not in has:
            key = TRAIN if query_set == TRAIN else f"splits.{query_set}"
            raise BackfireError(
                f"{where}.{key}: the pairs of '{collection.corpus}' have no part '{source}', {nearest(source, has)}",
                "a file of pairs is split into train, dev and test (held_out says in which shares); name one of these.",
            )
        if has is PARTS and collection.share(query_set) <= 0:
            raise BackfireError(
                f"{where}.held_out: {collection.held_out} leaves no share for '{source}', which '{query_set}' is.",
                "give dev and test shares above 0 that come to less than 1, or leave the query set out.",
            )
    if sum(collection.held_out.values()) > 1:
        raise BackfireError(
            f"{where}.held_out: {collection.held_out} comes to more than all.", "the rest of 1 is what is trained on."
        )
    if thoroughly and not is_hub(collection.corpus):
        try:
            from backfire.datasets.pairs import first_pairs
        # An engine that leaves the libraries to the jobs' own environments.
        except ImportError:
            return
        first_pairs(collection.corpus, collection.columns, 1)


def _check_no_pairs(collection: Collection) -> None:
    """Raise `BackfireError` for what only a file of pairs can have, and for a file that is not there."""
    where = f"collections.{collection.name}"
    if ending(collection.corpus, RECORDS):
        raise BackfireError(
            f"{where}.corpus: there is no file '{collection.corpus}'.",
            "give the path of a file of pairs from the folder that you run in, or in full.",
        )
    if collection.columns:
        raise BackfireError(
            f"{where}.columns: found {', '.join(collection.columns)}, but '{collection.corpus}' is no file of pairs.",
            "leave columns out; of folders and ids it is known which part holds what.",
        )


def _same_corpus(corpus: str, source: str) -> bool:
    return not is_folder(corpus) and original(corpus, "docs") == original(source, "docs")


def _ask_the_library(corpus: str, needs: dict[str, list[str]], texts: list[str]) -> None:
    try:
        from backfire.datasets.ids import check_needs, registered
        from backfire.datasets.wording import docs_of
    # An engine that leaves the libraries to the jobs' own environments: they check the same before they read.
    except ImportError:
        return
    check_needs(corpus, needs)
    for text in [] if is_folder(corpus) else texts:
        docs_of(registered(corpus, "docs"), corpus, text)


def check_different(study: Study) -> None:
    """Raise `BackfireError` where queries that were trained on or watched would be judged under another name.

    Sources are compared, not names: files by what they are and hold, ids by the judgments that they stand for.
    """
    for collection in study.collections.values():
        for first, second in combinations(collection.query_sets, 2):
            if {first, second} != {TRAIN, collection.cut} and _same(collection, first, collection, second):
                raise BackfireError(
                    f"collections.{collection.name}: '{first}' and '{second}' are the same queries "
                    f"({_called(collection, first, second)}).",
                    _remedy(study, collection, first, second),
                )
    seen = {"trained on": (study.train_on, TRAIN), "watched in training": study.watched} if study.trained else {}
    for (called, (name, query_set)), (other, split) in product(seen.items(), study.evaluations):
        if name == other:
            continue
        for ours, theirs in product(study.behind(name, query_set), study.behind(other, split)):
            if (
                ours == theirs
                or ours[0] != theirs[0]
                and _same(study.collections[ours[0]], ours[1], study.collections[theirs[0]], theirs[1])
            ):
                raise BackfireError(
                    f"collections.{other}: '{split}' are the queries that are {called}, '{query_set}' of '{name}' "
                    f"({study.collections[other].source(split)}).",
                    "judge on queries that took no part in training or choosing.",
                )


def _remedy(study: Study, collection: Collection, first: str, second: str) -> str:
    watched = study.watched == (collection.name, second)
    if first == TRAIN and watched:
        return (
            "watch and choose on other queries than those that are trained on: give a part of them a split of its own."
        )
    if first == TRAIN:
        return "judge on queries that are not trained on, or leave train out where the collection is not trained on."
    if study.trained and study.watched in ((collection.name, first), (collection.name, second)):
        return "judge on other queries than those that are watched in training (dynamics.split)."
    return "name every query set once."


def _called(collection: Collection, *query_sets: str) -> str:
    return " and ".join(dict.fromkeys(str(collection.source(each)) for each in query_sets))


def _same(ours: Collection, query_set: str, theirs: Collection, other: str) -> bool:
    if is_folder(ours.corpus) != is_folder(theirs.corpus) or is_pairs(ours.corpus) != is_pairs(theirs.corpus):
        return False
    source, against = ours.source(query_set), theirs.source(other)
    if ours.of:
        return source == against
    if is_pairs(ours.corpus):
        # Of other shares, parts of one file share queries whatever they are called.
        alike = source == against or ours.held_out != theirs.held_out
        if is_hub(ours.corpus) and is_hub(theirs.corpus):
            (one, subset, _), (other, another, _) = hub_parts(ours.corpus), hub_parts(theirs.corpus)
            return alike and one == other and (subset is None or another is None or subset == another)
        if is_hub(ours.corpus) or is_hub(theirs.corpus):
            return False
        return alike and _same_files(pairs_files(ours.corpus), pairs_files(theirs.corpus))
    if not is_folder(ours.corpus):
        return judgments_of(source) == judgments_of(against)
    # The passages last: they are many.
    splits = [(source, against)] if ours.name == theirs.name else [(source, against), (None, None)]
    return all(_same_files(input_files(ours.corpus, one), input_files(theirs.corpus, other)) for one, other in splits)


def _same_files(some: list[str], others: list[str]) -> bool:
    """Whether files are the same ones under two names, or hold the same."""
    return len(some) == len(others) and all(
        Path(one).samefile(other) or filecmp.cmp(one, other, shallow=False)
        for one, other in zip(reversed(some), reversed(others), strict=True)
    )
