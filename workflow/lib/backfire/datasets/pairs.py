"""Published triples: what `ir_datasets` calls document pairs, ids of a query, a relevant and another passage."""

from collections.abc import Iterator

from backfire.datasets.downloads import require
from backfire.datasets.ids import registered
from backfire.datasets.load import reading


def published_triples(source: str) -> Iterator[tuple[str, str, str]]:
    """(query id, id of the relevant passage, id of the other) of every pair of the id `source`, in its order.

    Raises `BackfireError` when the id has none, or when they are not on this machine.
    """
    dataset = registered(source, "docpairs")
    require(source, ["docpairs"])
    for pair in reading(source, dataset.docpairs_iter):
        yield pair.query_id, pair.doc_id_a, pair.doc_id_b
