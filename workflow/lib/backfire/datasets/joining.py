"""Several collections as one, for training on all of them: the same tables, with ids that tell whose each row is.

The joined tables stand where those of a file of pairs would (see `sources.place_of`), and are read as a folder is.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from backfire.formats.tables import iterate_rows, write_batches

# Names of collections hold none.
SIGN = "/"
_IDS = ("doc_id", "query_id")


def joined_id(collection: str, identifier: str) -> str:
    """The id of a passage or query of a collection that is joined with others."""
    return f"{collection}{SIGN}{identifier}"


def collection_of(identifier: str) -> str:
    """The collection that a joined id is from."""
    return identifier.partition(SIGN)[0]


def join_tables(kind: str, tables: Sequence[str], parts: Mapping[str, int], output: str) -> None:
    """Write the tables `kind` (corpus, queries or qrels) of several collections, one after another.

    `parts` says, in their order, how many of the tables belong to each collection. Memory is a batch of rows.
    """
    write_batches(output, kind, _renamed(kind, iter(tables), parts))


def _renamed(kind: str, tables: Iterator[str], parts: Mapping[str, int]) -> Iterator[pa.Table]:
    for collection, count in parts.items():
        for path in islice(tables, count):
            for batch in iterate_rows(path, kind):
                columns = {
                    name: pc.binary_join_element_wise(collection, batch[name], SIGN) if name in _IDS else batch[name]
                    for name in batch.schema.names
                }
                yield pa.table(columns)
