"""Collections that join others: whether these can be one.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

from collections.abc import Mapping

from backfire.errors import BackfireError
from backfire.study.parts import TRAIN, Collection, known


def check_joined(collection: Collection, collections: Mapping[str, Collection]) -> None:
    """Raise `BackfireError` where a collection joins itself or what is none, lacks a query set, or grades otherwise."""
    where = f"collections.{collection.name}"
    for name in collection.of:
        others = {other: each for other, each in collections.items() if other != collection.name}
        part = known(f"{where}.of", name, others, "collection")
        if part.of:
            raise BackfireError(
                f"{where}.of: '{name}' joins others itself.", f"name those that it joins: {', '.join(part.of)}."
            )
        for query_set in collection.query_sets:
            source = collection.source(query_set)
            if source not in part.query_sets:
                key = TRAIN if query_set == TRAIN else f"splits.{query_set}"
                raise BackfireError(
                    f"{where}.{key}: '{name}' has no query set '{source}'; it has {', '.join(part.query_sets)}.",
                    f"name a query set that each of {', '.join(collection.of)} has, or give '{name}' one of that name.",
                )
            ours, theirs = collection.relevant_from(query_set), part.relevant_from(source)
            if ours != theirs:
                raise BackfireError(
                    f"{where}.relevance: on {query_set} grade {ours} and above counts as relevant, and on {source} of "
                    f"'{name}' grade {theirs} and above.",
                    "set the same for both, or join collections whose grades mean the same.",
                )
