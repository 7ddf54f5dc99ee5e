"""Where a collection comes from: `pydocs`, a folder in BEIR layout, or an `ir_datasets` id.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from pathlib import Path

PYDOCS = "pydocs"


def is_pydocs(source: str) -> bool:
    """Whether `source` is the embedded collection or one of its query sets."""
    return source.split("/")[0] == PYDOCS


def is_folder(source: str) -> bool:
    """Whether the corpus `source` is a folder; an id of `ir_datasets` otherwise."""
    return not is_pydocs(source) and Path(source).is_dir()


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
    return [corpus_file(corpus)] if split is None else [queries_file(corpus), qrels_file(corpus, split)]


def _plain_or_packed(path: str) -> str:
    packed = f"{path}.gz"
    return packed if not Path(path).exists() and Path(packed).exists() else path
