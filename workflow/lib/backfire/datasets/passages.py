"""Ids and texts of exported tables, without holding a corpus in memory."""

from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa

from backfire.errors import BackfireError
from backfire.formats.tables import iterate_rows, read_rows

_ID_COLUMN = {"corpus": "doc_id", "queries": "query_id"}


def doc_ids(paths: Iterable[str]) -> Iterator[str]:
    """Ids of the passages in the shards of a corpus, in their order."""
    for path in paths:
        for batch in iterate_rows(path, "corpus"):
            yield from batch["doc_id"].to_pylist()


def texts_of(paths: Iterable[str], kind: str, ids: Collection[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Ids and texts, some at a time, of the rows with the given ids in tables of `kind` (corpus or queries).

    They come in the order of the tables. Raises `BackfireError` at the end when one was not there.
    """
    wanted = set(ids)
    missing = set(wanted)
    for path in paths:
        for batch in iterate_rows(path, kind):
            rows = [row for row, row_id in enumerate(batch[_ID_COLUMN[kind]].to_pylist()) if row_id in wanted]
            # The texts of the others are never made into strings.
            chosen = batch.take(pa.array(rows, pa.int32()))
            found = chosen[_ID_COLUMN[kind]].to_pylist()
            missing.difference_update(found)
            yield found, chosen["text"].to_pylist()
    if missing:
        raise BackfireError(
            f"{_ID_COLUMN[kind]} '{min(missing)}' is not among the exported {kind} ({len(missing)} missing).",
            "the data changed after this stage's input was made; delete that input and run again.",
        )


def texts_by_id(paths: Iterable[str], kind: str, ids: Collection[str]) -> dict[str, str]:
    """Texts of the given ids, in memory bounded by the ids asked for. Raises `BackfireError` as `texts_of` does."""
    return {row_id: text for some in texts_of(paths, kind, ids) for row_id, text in zip(*some, strict=True)}


def query_texts(path: str) -> dict[str, str]:
    """The texts of a table of queries by id, in its order."""
    table = read_rows(path, "queries")
    return dict(zip(table["query_id"].to_pylist(), table["text"].to_pylist(), strict=True))
