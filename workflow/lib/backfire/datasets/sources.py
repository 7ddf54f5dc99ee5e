"""Where a collection comes from: `pydocs`, a folder in BEIR layout, or an `ir_datasets` id.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Iterable
from pathlib import Path

from backfire.errors import BackfireError

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


def corpus_file(folder: str) -> str:
    """The file that holds the passages of a folder in BEIR layout, whether or not it is there."""
    return _plain_or_packed(f"{folder}/corpus.jsonl")


def queries_file(folder: str) -> str:
    """The file that holds the queries of a folder in BEIR layout, whether or not it is there."""
    return _plain_or_packed(f"{folder}/queries.jsonl")


def qrels_file(folder: str, split: str) -> str:
    """The file that holds the judgments of a split in BEIR layout, whether or not it is there."""
    return _plain_or_packed(f"{folder}/qrels/{split}.tsv")


def input_files(corpus: str, split: str | None = None) -> list[str]:
    """The files that passages, or with `split` its queries and judgments, come from when the corpus is a folder."""
    if not is_folder(corpus):
        return []
    files = [corpus_file(corpus)] if split is None else [queries_file(corpus), qrels_file(corpus, split)]
    for file in files:
        check_there(file, corpus)
    return files


def check_there(file: str, folder: str) -> None:
    """Raise `BackfireError` when a file of a folder in BEIR layout is missing, or is there both plain and packed."""
    plain = file.removesuffix(".gz")
    if Path(plain).is_file() and Path(f"{plain}.gz").is_file():
        raise BackfireError(
            f"{plain} and {plain}.gz are both there, and one of them would be passed over.",
            "remove or rename the one that is not meant.",
        )
    if not Path(file).is_file():
        names = sorted(each.relative_to(folder).as_posix() for each in Path(folder).glob("**/*.[jt]s*"))
        holds = ", ".join(names[:8]) or "none of that kind"
        raise BackfireError(
            f"{file}: there is no such file (nor one ending in .gz); the folder holds {holds}.",
            "a folder in BEIR layout holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv; splits in the "
            "configuration name the files under qrels/ without .tsv.",
        )


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


def _plain_or_packed(path: str) -> str:
    packed = f"{path}.gz"
    return packed if not Path(path).exists() and Path(packed).exists() else path
