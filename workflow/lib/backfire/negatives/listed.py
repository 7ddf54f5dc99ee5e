"""Examples of a file of one's own, as they are: which of them a collection's queries and passages can be told of.

Memory holds 8 bytes for each passage of the corpus, the queries, and some 300 bytes for each triple of the file.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from backfire.datasets.records import short
from backfire.datasets.rows import file_rows
from backfire.datasets.sources import pairs_files
from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows
from backfire.jobs.logs import progress
from backfire.keyed import key
from backfire.negatives.itself import Itself
from backfire.negatives.places import Places, worded
from backfire.negatives.table import write_triples
from backfire.provenance.fingerprints import file_sha256

logger = logging.getLogger(__name__)

# Rows that are looked up together.
READ = 1 << 16


class _Triple(NamedTuple):
    where: str
    query: str
    positive: str
    negative: str


class _Names(NamedTuple):
    """What a file calls queries and passages: their ids or their texts."""

    by: str
    row_of: dict[str, int]
    """Row of each training query."""
    split_of: dict[str, str]
    """Split of each query that is judged or watched."""
    passages: Places


def take_triples(
    file: str,
    columns: Mapping[str, Any] | None,
    queries: str,
    splits: Mapping[str, str],
    cut: str | None,
    corpus: list[str],
    query_embeddings: str,
    embeddings: list[str],
    missing: str,
    size: int | None,
    seed: int,
    negatives_per_query: int,
    output: str,
    manifest: str,
    label: str | None = None,
) -> None:
    """Write the examples of a file, with the base's cosine of each negative.

    `file` and `columns` are those of `datasets.rows`; queries and passages stand there by their ids or by their texts,
    as those of its first rows tell. Each positive of a row is one with each of its negatives. Equal triples count once.
    The negatives of a query and a positive are taken in the order of the file, `negatives_per_query` at a time, and
    examples stand in the order in which their query and positive come first. With a `size` they are those with the
    smallest keys of (seed, example), and without one all.
    Left out are triples of a query of the split `cut`, which is cut off the training queries, negatives that are the
    query itself (see `Itself`) or the positive, and what is too little for an example. Triples of other queries than
    those of the table `queries` (`splits` are the tables of the others), or of a passage that the shards `corpus` lack,
    are left out where `missing` is "drop", else refused. Counts go to `manifest`. Raises `BackfireError` for these, for
    a file that cannot be read or holds no negative, and where there are fewer examples than `size`.
    """
    each = negatives_per_query
    triples = _triples(file, columns)
    with progress(label, None, "triple") as bar:
        first = list(islice(triples, READ))
        if not first:
            raise BackfireError(
                f"{file}: there is no row with a passage that does not answer its query.",
                "a row needs one in a column named negative, or negative_1 and so on; to draw them, make the file a "
                "collection (corpus: ...) and set negatives to hard.",
            )
        names = _told(file, first, queries, splits, corpus)
        found = _Found(names, cut)
        while first:
            found.add(first)
            bar.update(len(first))
            first = list(islice(triples, READ))
    if missing == "refuse" and found.missing:
        raise found.refusal(file)
    table, dropped = _examples(_with_ids(found.table(), names.passages, queries), Itself(queries, corpus), each)
    dropped = {**found.dropped, **dropped}
    given, asked = len(table) // each, size or 1
    if given < asked:
        raise BackfireError(
            f"triples: {asked} asked for, but {file} gives {given} ({_counted(found.read, dropped)}).",
            f"lower size to {given}, or leave it out." if given else "see that it is of the same collection.",
        )
    if given > (size or given):
        table = table.iloc[_smallest(table, each, size, seed)]
        dropped["are beyond size"] = (given - size) * each
    logger.info("%s: %s", file, _counted(found.read, dropped))
    ids = [pa.array(table[column], pa.string()) for column in ("query", "positive", "negative")]
    write_triples(output, "file", *ids, None, query_embeddings, embeddings, each)
    counts = {
        "read": found.read,
        "kept": len(table),
        "dropped": {why: count for why, count in dropped.items() if count},
    }
    write_json(
        manifest,
        {"file": file, "files": {path: file_sha256(path) for path in pairs_files(file)}}
        | {"named by": "ids" if names.by == "doc_id" else "texts", **counts, "examples": len(table) // each}
        | {"negatives_per_query": each, "seed": seed, "size": size},
    )


def _with_ids(table: pd.DataFrame, passages: Places, queries: str) -> pd.DataFrame:
    """Triples by ids, from the row of the query and the places of both passages."""
    query_ids = read_rows(queries, "queries", ["query_id"])["query_id"].to_numpy()
    names = passages.names(np.union1d(table["positive"], table["negative"]))
    found = {
        column: names(table[column].to_numpy()).to_numpy(zero_copy_only=False) for column in ("positive", "negative")
    }
    return pd.DataFrame({"query": query_ids[table["query"]], **found})


def _examples(table: pd.DataFrame, itself: Itself, each: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Triples in the order of their examples, `each` to an example; how many others were dropped, by reason."""
    same = np.array([itself(*ids) for ids in zip(table["query"], table["negative"], strict=True)], bool)
    left = table[~same]
    fresh = left.drop_duplicates()
    pairs = fresh.groupby(["query", "positive"], sort=False)
    whole = pairs.cumcount() < pairs["negative"].transform("size") // each * each
    order = np.argsort(pairs.ngroup()[whole], kind="stable")
    dropped = {
        "have the query itself as a negative": int(same.sum()),
        "repeat another one": len(left) - len(fresh),
        "are too few for an example": int((~whole).sum()),
    }
    return fresh[whole].iloc[order], dropped


def _smallest(table: pd.DataFrame, each: int, size: int, seed: int) -> np.ndarray:
    """Rows of the `size` examples with the smallest keys of seed and ids of the first triple, in their order."""
    keys = [key(seed, *ids) for ids in table.iloc[::each].itertuples(index=False)]
    chosen = np.sort(np.argsort(np.array(keys, np.uint64), kind="stable")[:size])
    return (each * chosen[:, None] + np.arange(each)).ravel()


def _counted(read: int, dropped: Mapping[str, int]) -> str:
    left = ", ".join(f"{count} {why}" for why, count in dropped.items() if count)
    return f"{read} triples read" + (f"; {left}" if left else "")


def _triples(file: str, columns: Mapping[str, Any] | None) -> Iterator[_Triple]:
    """Each query of the file with each of its positives and negatives; a grade is none of a triple."""
    for row in file_rows(file, {"grade": False, **(columns or {})}, triples=True):
        for positive, negative in product(row.passages, row.negatives):
            yield _Triple(row.where, row.query, positive, negative)


def _told(file: str, rows: Sequence[_Triple], queries: str, splits: Mapping[str, str], corpus: list[str]) -> _Names:
    """Whether a file names things by id or by text: by what more of its first rows' queries are."""
    found = {}
    for by, column in (("doc_id", "query_id"), ("text", "text")):
        row_of, split_of = {}, {}
        for split, path in splits.items():
            split_of |= dict.fromkeys(_column(path, column), split)
        # Of queries of one text the first stands for all.
        for row, name in enumerate(_column(queries, column)):
            row_of.setdefault(name, row)
        known = sum(name in row_of or name in split_of for name in (_spelled(each.query, by) for each in rows))
        found[by] = known, row_of, split_of
    by = max(found, key=lambda by: found[by][0])
    known, row_of, split_of = found[by]
    if not known:
        raise BackfireError(
            f"{file}: none of its queries is one of the collection that is trained on, by id or by text; the first is "
            f"{short(rows[0].query)}, and there one is {short(next(iter(found['text'][1]), ''))}.",
            "a triple set is of the queries and passages of its collection; to train on others, make the file a "
            "collection of its own (collections: {mine: {corpus: <the file>, train: train}}) and train_on that.",
        )
    logger.info("%s: queries and passages stand there by their %s", file, "ids" if by == "doc_id" else "texts")
    return _Names(by, row_of, split_of, Places(corpus, by))


def _column(path: str, column: str) -> list[str]:
    values = read_rows(path, "queries", [column])[column].to_pylist()
    return list(map(worded, values)) if column == "text" else values


def _spelled(name: str, by: str) -> str:
    return worded(name) if by == "text" else name


class _Found:
    """The triples of a file that can be trained on, and counts of the others by reason."""

    def __init__(self, names: _Names, cut: str | None):
        self._names, self._cut = names, cut
        self._pieces: list[pd.DataFrame] = []
        # Triples read, and those left out by reason.
        self.read, self.dropped = 0, Counter()
        # Of each reason that a file is refused for, where it is first met and what stands there.
        self.missing: dict[str, tuple[str, str]] = {}

    def add(self, triples: Sequence[_Triple]) -> None:
        """Look triples up, in their order."""
        self.read += len(triples)
        queries = [_spelled(each.query, self._names.by) for each in triples]
        positives = self._names.passages.of([each.positive for each in triples])
        negatives = self._names.passages.of([each.negative for each in triples])
        rows = np.array([self._names.row_of.get(query, -1) for query in queries])
        kept = []
        for number, triple in enumerate(triples):
            why = self._why(triple, queries[number], positives[number], negatives[number])
            if why is None:
                kept.append(number)
                continue
            reason, unknown = why
            self.dropped[reason] += 1
            if unknown is not None:
                self.missing.setdefault(reason, (triple.where, unknown))
        columns = {"query": rows, "positive": positives, "negative": negatives}
        self._pieces.append(pd.DataFrame({name: values[kept] for name, values in columns.items()}))

    def _why(self, triple: _Triple, query: str, positive: int, negative: int) -> tuple[str, str | None] | None:
        """Why a triple is left out, and the name in it that a file is refused for; None for one that stays."""
        if query not in self._names.row_of:
            split = self._names.split_of.get(query)
            if split is None:
                return "have a query that is none of the collection", triple.query
            return f"have a query of the split '{split}'", None if split == self._cut else triple.query
        if positive < 0:
            return "have a positive that the collection lacks", triple.positive
        if negative < 0:
            return "have a negative that the collection lacks", triple.negative
        return ("have their positive as a negative", None) if positive == negative else None

    def refusal(self, file: str) -> BackfireError:
        """The error of a file with triples that cannot be trained on."""
        total = sum(self.dropped[reason] for reason in self.missing)
        lines = [
            f"  {self.dropped[reason]} {reason}: the first at {where}, {short(unknown)}"
            for reason, (where, unknown) in self.missing.items()
        ]
        return BackfireError(
            "\n".join([f"{file}: {total} of {self.read} triples cannot be trained on.", *lines]),
            "set missing: drop for these triples to leave them out; no query may be trained on and judged.",
        )

    def table(self) -> pd.DataFrame:
        """Row of the query, places of positive and negative of the triples that stay, in their order."""
        return pd.concat(self._pieces, ignore_index=True)
