"""Where a collection comes from: `pydocs`, a local folder (see `layout`), a file of pairs, or an `ir_datasets` id.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from backfire.datasets.layout import RECORDS, corpus_files, ending, qrels_files, queries_files
from backfire.errors import BackfireError, nearest
from backfire.study.parts import JOINED

PYDOCS = "pydocs"
# Splits that a file of pairs has: what is not held out, and what is.
PARTS = ("train", "dev", "test")
# Names that saved data sets have for them.
_ALSO = {"validation": "dev", "valid": "dev", "val": "dev"}
_SAVED, _SAVED_SPLITS = "dataset_info.json", "dataset_dict.json"
_PART = r"\w[\w.-]*"
_HUB_ID = re.compile(rf"hf:(?P<repository>{_PART}/{_PART})(/(?P<subset>{_PART}))?(@(?P<revision>{_PART}(/{_PART})*))?")


def is_pydocs(source: str) -> bool:
    """Whether `source` is the embedded collection or one of its query sets."""
    return source.split("/")[0] == PYDOCS


def hub_parts(source: str) -> tuple[str, str | None, str | None]:
    """Repository, subset and revision of a data set of the hub, as hf:owner/name, hf:owner/name/subset@revision.

    Raises `BackfireError` for another form.
    """
    if not (found := _HUB_ID.fullmatch(source)):
        raise BackfireError(
            f"found '{source}', which is no id of a data set of the hub.",
            "write it as hf:owner/name, hf:owner/name/subset, each perhaps with @revision.",
        )
    return found["repository"], found["subset"], found["revision"]


def is_hub(source: str) -> bool:
    """Whether the corpus `source` is a data set of the hub, which becomes a saved one."""
    return source.startswith("hf:")


def is_made(corpus: str) -> bool:
    """Whether a job makes the corpus: of a file of pairs, or of several collections."""
    return corpus == JOINED or is_pairs(corpus)


def is_pairs(source: str) -> bool:
    """Whether the corpus `source` is a file of pairs, a folder that `datasets.save_to_disk` wrote, or on the hub."""
    if is_hub(source):
        return True
    try:
        path = Path(source)
        saved = any((path / name).is_file() for name in (_SAVED, _SAVED_SPLITS))
        return saved or bool(ending(path, RECORDS)) and path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(source: str) -> bool:
    """Whether the corpus `source` is a folder in the layout of BEIR; what is no file of pairs either is an id."""
    try:
        return not is_pydocs(source) and not is_pairs(source) and Path(source).is_dir()
    # No path: too long, or with a NUL.
    except (OSError, ValueError):
        return False


def saved_splits(folder: str) -> dict[str | None, Path]:
    """The folder of each split of a saved data set, by Backfire's name of the split; one, of None, where it has none.

    Raises `BackfireError` for a split of another name.
    """
    root = Path(folder)
    if not (root / _SAVED_SPLITS).is_file():
        return {None: root}
    found: dict[str | None, Path] = {}
    for path in sorted(path.parent for path in root.glob(f"*/{_SAVED}")):
        name = _ALSO.get(path.name, path.name)
        if name not in PARTS or name in found:
            raise BackfireError(
                f"{folder}: the saved data set has a split '{path.name}', {nearest(path.name, [*PARTS, *_ALSO])}",
                "name its splits train, dev and test, or save one split alone, which is then split by a hash.",
            )
        found[name] = path
    return found


def pairs_files(source: str) -> list[str]:
    """The files that a collection of pairs is read from, in the order of their names; none on the hub."""
    if is_hub(source):
        return []
    if not Path(source).is_dir():
        return [source]
    return sorted(str(path) for path in Path(source).rglob("*") if path.is_file() and not path.name.startswith("."))


def source_files(name: str, corpus: str, split: str | None = None) -> list[str]:
    """The files that the tables of a collection are made from: those of `input_files`, or those that a job made."""
    if not is_made(corpus):
        return input_files(corpus, split)
    folder = place_of(name, corpus)
    if split is None:
        return [f"{folder}/corpus.parquet"]
    return [f"{folder}/{part}/{split}.parquet" for part in ("queries", "qrels")]


def pairs_source(name: str, corpus: str) -> str:
    """Where the pairs of a collection are read from: its file, or what was fetched from the hub."""
    return f"data/{name}/hub/rows" if is_hub(corpus) else corpus


def place_of(name: str, corpus: str) -> str:
    """Where the jobs of a collection find it: the corpus itself, or the folder that it is made in."""
    if corpus == JOINED:
        return f"data/{name}/joined"
    return f"data/{name}/pairs" if is_pairs(corpus) else corpus


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
    if not is_folder(corpus) and not is_made(corpus):
        named = [(corpus, ["docs"]), *((source, ["queries", "qrels"]) for source in query_sets)]
    else:
        named = []
    for source, parts in [*named, *((source, ["docpairs"]) for source in published)]:
        if not is_pydocs(source):
            needed[source] = [*needed.get(source, []), *(part for part in parts if part not in needed.get(source, []))]
    return needed
