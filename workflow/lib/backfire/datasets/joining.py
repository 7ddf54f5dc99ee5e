"""Several collections as one, for training on all of them: the same tables, with ids that tell whose each row is.

The joined tables stand where those of a file of pairs would (see `sources.place_of`), and are read as a folder is.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from backfire.datasets.text import normalised
from backfire.formats.atomic import write_json
from backfire.formats.tables import iterate_rows, write_batches
from backfire.keyed import key

logger = logging.getLogger(__name__)

# Names of collections hold none.
SIGN = "/"
_IDS = ("doc_id", "query_id")


def collection_of(identifier: str) -> str:
    """The collection that a joined id is from."""
    return identifier.partition(SIGN)[0]


def join_tables(kind: str, tables: Sequence[str], parts: Mapping[str, int], output: str) -> None:
    """Write the tables `kind` (corpus, queries or qrels) of several collections, one after another.

    `parts` says, in their order, how many of the tables belong to each collection. Memory is a batch of rows.
    """
    write_batches(output, kind, _renamed(kind, iter(tables), parts))


def join_queries(
    queries: Sequence[str],
    qrels: Sequence[str],
    parts: Sequence[str],
    judged: Sequence[str],
    outputs: tuple[str, str],
    manifest: str,
) -> None:
    """Write the queries and judgments of one query set of each of the `parts`, one after another.

    Left out are queries of the wording of one that another part judges: `judged` are the tables of such queries, none
    where these queries are not trained on. The manifest tells how many by collection. Memory holds a 64-bit key of each
    judged query, and the ids that are left out.
    """
    barred = {key(normalised(text)) for path in judged for text in _column(path, "queries", "text")}
    apart: dict[str, set[str]] = {part: set() for part in parts}
    for part, path in zip(parts, queries, strict=True):
        for batch in iterate_rows(path, "queries"):
            rows = zip(batch["query_id"].to_pylist(), batch["text"].to_pylist(), strict=True)
            apart[part].update(query_id for query_id, text in rows if key(normalised(text)) in barred)
    for kind, tables, output in (("queries", queries, outputs[0]), ("qrels", qrels, outputs[1])):
        write_batches(output, kind, _renamed(kind, iter(tables), dict.fromkeys(parts, 1), apart))
    left_out = {part: len(found) for part, found in apart.items() if found}
    if left_out:
        logger.warning("queries that are judged, and so not trained on, by collection: %s", left_out)
    write_json(manifest, {"left out": left_out})


def _column(path: str, kind: str, name: str) -> Iterator[str]:
    for batch in iterate_rows(path, kind):
        yield from batch[name].to_pylist()


def _renamed(
    kind: str, tables: Iterator[str], parts: Mapping[str, int], apart: Mapping[str, set[str]] | None = None
) -> Iterator[pa.Table]:
    for collection, count in parts.items():
        for path in islice(tables, count):
            for batch in iterate_rows(path, kind):
                if apart and apart[collection]:
                    left_out = pa.array(sorted(apart[collection]), pa.string())
                    batch = batch.filter(pc.invert(pc.is_in(batch["query_id"], value_set=left_out)))
                columns = {
                    name: pc.binary_join_element_wise(collection, batch[name], SIGN) if name in _IDS else batch[name]
                    for name in batch.schema.names
                }
                yield pa.table(columns)
