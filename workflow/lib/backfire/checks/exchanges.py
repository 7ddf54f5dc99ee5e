"""Checks of what is said of the passages that changed places with an answer."""

from collections.abc import Iterator


def check_exchanges(found) -> Iterator[str]:
    """Exchanges are those that are counted by kind."""
    exchanges, replaced = found.tables["exchanges"], found.tables["replaced"]
    kinds = ["variant", "direction", "kind"]
    counted = replaced.set_index(kinds)["queries"]
    if not exchanges.groupby(kinds).size().reindex(counted.index, fill_value=0).equals(counted.astype("int64")):
        yield "the table exchanges holds other passages than the table replaced counts"


def check_opinions(found) -> Iterator[str]:
    """A judge has said its opinion of every exchange that it may speak of, and the shares are those of its opinions."""
    opinions, labels = found.tables.get("opinions"), found.tables.get("missing_labels")
    judge = found.study.judge
    for name, table in (("opinions", opinions), ("missing_labels", labels)):
        if (table is not None) != bool(judge):
            yield f"the table {name} is {'missing' if table is None else 'there, and the study names no judge'}"
    if opinions is None or labels is None or not judge:
        return
    exchanges = found.tables["exchanges"]
    keys = ["variant", "direction", "query_id"]
    expected = exchanges.loc[~exchanges["variant"].isin(judge.reranked), keys]
    if not expected.reset_index(drop=True).equals(opinions[keys]):
        yield "the table opinions is about other exchanges"
    if opinions[["answer_score", "passage_score"]].isna().any(axis=None):
        yield "a judge gave no score"
    better = opinions["grade"].isna() & (opinions["passage_score"] > opinions["answer_score"])
    groups = better.groupby([opinions["variant"], opinions["direction"]])
    for row in labels.to_dict("records"):
        key = (row["variant"], row["direction"])
        said = groups.get_group(key) if key in groups.groups else better[:0]
        if (row["queries"], row["preferred"]) != (len(said), int(said.sum())):
            yield f"missing labels of {key[0]} ({key[1]}) are not those of the opinions"
