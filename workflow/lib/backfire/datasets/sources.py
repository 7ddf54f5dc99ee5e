"""Where a collection comes from: `pydocs`, a local folder (see `layout`), or an `ir_datasets` id.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Iterable
from pathlib import Path

from backfire.datasets.layout import corpus_files, qrels_files, queries_files

PYDOCS = "pydocs"


def is_pydocs(source: str) -> bool:
    """Whether `source` is the embedded collection or one of its query sets."""
    return source.split("/")[0] == PYDOCS


def is_folder(source: str) -> bool:
    """Whether the corpus `source` is a folder; an id of `ir_datasets` otherwise."""
    try:
        return not is_pydocs(source) and Path(source).is_dir()
    # No path: too long, or with a NUL.
    except (OSError, ValueError):
        return False


def input_files(corpus: str, split: str | None = None) -> list[str]:
    """The files that passages, or with `split` its queries and judgments, come from when the corpus is a folder.

    Raises `BackfireError` when one is missing, or when it cannot be told which is meant (see `layout`).
    """
    if not is_folder(corpus):
        return []
    return corpus_files(corpus) if split is None else [*queries_files(corpus, split), *qrels_files(corpus, split)]


def needed_parts(corpus: str, query_sets: Iterable[str], published: Iterable[str] = ()) -> dict[str, list[str]]:
    """{`ir_datasets` id: parts} that a collection is made of; folders and what every installation holds are left out.

    `query_sets` are the sources of its splits, and `published` the ids whose document pairs are trained on.
    """
    needed: dict[str, list[str]] = {}
    if not is_folder(corpus):
        named = [(corpus, ["docs"]), *((source, ["queries", "qrels"]) for source in query_sets)]
    else:
        named = []
    for source, parts in [*named, *((source, ["docpairs"]) for source in published)]:
        if not is_pydocs(source):
            needed[source] = [*needed.get(source, []), *(part for part in parts if part not in needed.get(source, []))]
    return needed
