"""Runs that another tool made: read as they are, held to the collection, written in the form of Backfire's own."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backfire.errors import BackfireError
from backfire.formats.tables import iterate_rows, read_rows
from backfire.formats.trec import Ranking, unescaped, write_run
from backfire.jobs.faults import reading

COLUMNS = ("query_id", "Q0", "doc_id", "rank", "score", "tag")
_BATCH = 65536

logger = logging.getLogger(__name__)


def take_run(
    run: str | Path, queries: str | Path, corpus: Sequence[str | Path], depth: int, tag: str, output: str | Path
) -> None:
    """Write the TREC run of another tool with its queries in the order of the table `queries`, `depth` deep.

    Six columns between white space, also gzipped: query_id Q0 doc_id rank score tag. The order is that of the scores,
    and equal scores stand in the order of the ranks. Queries that the split lacks are left out and counted, as are
    passages beyond `depth`. Raises `BackfireError` for a line without six columns, a rank or score that is no number, a
    passage that a query has twice or that the shards `corpus` do not hold, ranks that contradict the scores, and a run
    that ranks for none of the queries.
    """
    table = _read(Path(run))
    wanted = read_rows(queries, "queries")["query_id"].to_pylist()
    table["query_id"] = table["query_id"].map(_spelling(set(wanted)))
    known = table["query_id"].isin(set(wanted))
    if not known.any():
        raise BackfireError(
            f"{run}: none of its queries, as {table['query_id'].iloc[0]!r}, is among those of {queries}, as "
            f"{wanted[0]!r}.",
            "it is the run of another query set, or its ids are written in another way.",
        )
    table = table[known].copy()
    _check_passages(run, table, corpus)
    table = table.sort_values(["query_id", "score", "rank"], ascending=[True, False, True], kind="stable")
    _check_order(run, table)
    place = table.groupby("query_id", sort=False).cumcount()
    deep, found = int(place.max()) + 1, table["query_id"].nunique()
    logger.info(
        "%s: %d of %d queries, %d deep; left out: %d lines of other queries, %d beyond the depth of %d",
        *(run, found, len(wanted), deep, int((~known).sum()), int((place >= depth).sum()), depth),
    )
    if found < len(wanted):
        logger.warning("%s has no ranking for %d of %d queries; they score 0", run, len(wanted) - found, len(wanted))
    if deep < depth:
        logger.warning(
            "%s is %d deep and the others %d; deeper measures count what lies beyond as missed", run, deep, depth
        )
    write_run(output, _rankings(table[place < depth], wanted), tag)


def _read(run: Path) -> pd.DataFrame:
    try:
        with reading(run):
            table = pd.read_csv(
                run, sep=r"\s+", header=None, names=[*COLUMNS, "more"], dtype=str, quoting=3, keep_default_na=False,
                na_values=[], encoding="utf-8", compression="infer", index_col=False,
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BackfireError(f"{run}: not a TREC run ({error}).", _FORM) from error
    if table.empty:
        raise BackfireError(f"{run}: it is empty.", _FORM)
    numbers = {}
    for column in ("rank", "score"):
        numbers[column] = pd.to_numeric(table[column], errors="coerce")
    whole = np.isfinite(numbers["score"]) & np.isfinite(numbers["rank"]) & (table["tag"] != "") & (table["more"] == "")
    if not whole.all():
        number = int(np.flatnonzero(~whole)[0])
        said = " ".join(str(value) for value in table.iloc[number] if isinstance(value, str) and value)
        raise BackfireError(f"{run}:{number + 1}: not a line of a TREC run: {said[:120]!r}.", _FORM)
    return table.drop(columns="more").assign(**numbers)


_FORM = "a line is: query_id Q0 doc_id rank score tag, with white space between them."


def _spelling(known: set[str]):
    """Maps an id to that of the collection, which a run may write with white space percent-encoded."""
    return lambda identifier: identifier if identifier in known else unescaped(identifier)


def _check_passages(run: str | Path, table: pd.DataFrame, corpus: Sequence[str | Path]) -> None:
    """Raise for a passage that the corpus lacks or that a query has twice; ids are spelled as the corpus has them."""
    named = pa.array(table["doc_id"].unique())
    there = np.zeros(len(named), bool)
    plain = pa.array([unescaped(identifier) for identifier in named.to_pylist()])
    decoded = np.zeros(len(named), bool)
    for path in corpus:
        for batch in iterate_rows(path, "corpus", _BATCH):
            ids = batch["doc_id"]
            there |= pc.is_in(named, value_set=ids).to_numpy(zero_copy_only=False)
            decoded |= pc.is_in(plain, value_set=ids).to_numpy(zero_copy_only=False)
    lacking = np.flatnonzero(~(there | decoded))
    if len(lacking):
        raise BackfireError(
            f"{run}: ranks {named[int(lacking[0])].as_py()!r}, which the corpus does not hold ({len(lacking)} of "
            f"{len(named)} passages).",
            "it is a run over another corpus or version of it, or over one that this study cuts (size).",
        )
    spelled = {
        one: other for one, other, own in zip(named.to_pylist(), plain.to_pylist(), there, strict=True) if not own
    }
    table["doc_id"] = table["doc_id"].map(lambda identifier: spelled.get(identifier, identifier))
    twice = table.duplicated(["query_id", "doc_id"])
    if twice.any():
        row = table[twice].iloc[0]
        raise BackfireError(
            f"{run}: passage {row['doc_id']!r} stands twice for query {row['query_id']!r} ({int(twice.sum())} such "
            "lines).",
            "leave one line for each passage of a query, the first.",
        )


def _check_order(run: str | Path, table: pd.DataFrame) -> None:
    """Raise where ranks, in the order of the scores, go back."""
    back = (table["rank"].diff() < 0) & (table["query_id"] == table["query_id"].shift())
    if back.any():
        row = table[back].iloc[0]
        raise BackfireError(
            f"{run}: query {row['query_id']!r} has passage {row['doc_id']!r} at rank {row['rank']:g}, which its scores "
            "contradict.",
            "evaluation goes by score (highest first), as trec_eval does; write ranks in that order.",
        )


def _rankings(table: pd.DataFrame, order: list[str]) -> Iterator[tuple[str, Ranking]]:
    groups = {query: rows for query, rows in table.groupby("query_id", sort=False)}
    for query in order:
        if query in groups:
            rows = groups[query]
            yield query, list(zip(rows["doc_id"], rows["score"], strict=True))
