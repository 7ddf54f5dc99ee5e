"""Ids and texts of exported tables, without holding a corpus in memory."""

from collections.abc import Collection, Iterable, Iterator

from backfire.errors import BackfireError
from backfire.formats.tables import iterate_rows

_ID_COLUMN = {"corpus": "doc_id", "queries": "query_id"}


def doc_ids(paths: Iterable[str]) -> Iterator[str]:
    """Ids of the passages in the shards of a corpus, in their order."""
    for path in paths:
        for batch in iterate_rows(path, "corpus"):
            yield from batch["doc_id"].to_pylist()


def texts_by_id(paths: Iterable[str], kind: str, ids: Collection[str]) -> dict[str, str]:
    """Texts of the given ids from tables of `kind` (corpus or queries), in memory bounded by the ids asked for.

    Raises `BackfireError` when one is not there.
    """
    wanted, found = set(ids), {}
    for path in paths:
        for batch in iterate_rows(path, kind):
            for row_id, text in zip(batch[_ID_COLUMN[kind]].to_pylist(), batch["text"].to_pylist(), strict=True):
                if row_id in wanted:
                    found[row_id] = text
    missing = wanted - found.keys()
    if missing:
        raise BackfireError(
            f"{_ID_COLUMN[kind]} '{min(missing)}' is not among the exported {kind} ({len(missing)} missing).",
            "the data changed after this stage's input was made; delete that input and run again.",
        )
    return found
