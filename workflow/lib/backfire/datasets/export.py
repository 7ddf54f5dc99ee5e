"""From a collection to its tables: checked, cut to size, in shards, with manifests that tell what was kept.

Memory holds some 24 bytes for each passage of the corpus, and the queries and judgments of one split; never the
passages.
"""

import hashlib
import logging
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from backfire.datasets.load import load_corpus, load_split, provenance, records
from backfire.datasets.wording import DEFAULT, wording
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.tables import write_batches
from backfire.keyed import key
from backfire.logs import progress
from backfire.provenance import value_digest
from backfire.texts import doc_ids

BATCH = 16384

_logger = logging.getLogger(__name__)


def export_corpus(
    source: str,
    size: int | None,
    shards: Sequence[str],
    manifest: str,
    drop_empty: bool = False,
    text: str = DEFAULT,
) -> None:
    """Write the passages of `source` to Parquet `shards` of near-equal length, in the order of the source.

    `size` keeps that many passages, those whose ids have the smallest keys; None keeps all. `drop_empty` drops
    passages without text instead of refusing them. `text` is the variant of the text (see `wording`). The source is
    read twice: checked, then written. The manifest holds source, text variant, counts and a digest of what was kept,
    which does not depend on the number of shards.
    Raises `BackfireError` for an empty corpus, a repeated or unusable id, an empty passage, or too many shards.
    """

    def passages() -> Iterator[tuple[str, str]]:
        return ((doc.doc_id, wording(doc, source, text)) for doc in records(dataset, source, "docs", text))

    dataset = load_corpus(source)
    keys, empty = _survey(passages, source, drop_empty)
    usable = len(keys)
    if not usable:
        raise BackfireError(
            f"the corpus '{source}' holds no passage{' with text' if empty else ''}.",
            "check that the source is the one you meant and that its download is whole.",
        )
    limit = None if size is None or size >= usable else np.partition(keys, size - 1)[size - 1]
    kept = usable if limit is None else int((keys <= limit).sum())
    if not 1 <= len(shards) <= kept:
        raise BackfireError(
            f"the corpus '{source}' is to be cut into {len(shards)} shards, but holds {kept} passage(s).",
            "encoding.shards must be at least 1 and at most the number of passages of the smallest collection.",
        )
    digest = hashlib.sha256()
    rows = _hashed(
        (
            {"doc_id": doc_id, "text": passage}
            for doc_id, passage in passages()
            if (limit is None or key("size", doc_id) <= limit) and not (drop_empty and not passage.strip())
        ),
        digest,
    )
    counts = []
    for shard, path in enumerate(shards):
        length = (shard + 1) * kept // len(shards) - shard * kept // len(shards)
        counts.append(write_batches(path, "corpus", _batches(islice(rows, length))))
    if sum(counts) != kept or next(rows, None) is not None:
        raise BackfireError(
            f"the corpus '{source}' changed while it was read: {kept} passages first, then {sum(counts)} or more.",
            "let nothing write to the source meanwhile, and run again.",
        )
    dropped = {"empty": empty, "beyond size": usable - kept}
    write_json(
        manifest,
        {
            "source": source,
            **provenance(source, text=text),
            "size": size,
            "read": usable + empty,
            "kept": kept,
            "dropped": {reason: count for reason, count in dropped.items() if count},
            "shards": counts,
            "digest": digest.hexdigest(),
        },
    )


def export_queries(
    corpus: str,
    source: str,
    corpus_shards: Sequence[str],
    queries: str,
    qrels: str,
    manifest: str,
    drop_empty: bool = False,
) -> None:
    """Write queries and qrels of the split `source` as Parquet, restricted to the passages in `corpus_shards`.

    Judgments of passages that were not kept are dropped and counted, and so are queries that no kept passage is
    relevant to (grade 1 or more), and with `drop_empty` those without text. Queries and judgments keep the order of
    the source; where a passage is judged twice for a query the last judgment holds, as in trec_eval. Raises
    `BackfireError` for an empty set, a repeated query id, an empty query, a set of another corpus, and judgments of
    unknown queries or passages.
    """
    dataset = load_split(corpus, source)
    texts = _checked_queries(dataset, source, drop_empty)
    grades, judged = _checked_qrels(dataset, source, texts)
    needed = {doc_id for of_query in grades.values() for doc_id in of_query}
    present = needed.intersection(doc_ids(corpus_shards))
    _check_known(needed - present, corpus, source)

    inside = {
        query_id: {doc_id: grade for doc_id, grade in of_query.items() if doc_id in present}
        for query_id, of_query in grades.items()
    }
    answered = {
        query_id: of_query
        for query_id, of_query in inside.items()
        if texts[query_id] and max(of_query.values(), default=0) > 0
    }
    if not answered:
        raise BackfireError(
            f"no query of '{source}' has a relevant passage among those kept ({len(texts)} queries).",
            "raise the collection's size or set it to null, and check that the split belongs to this corpus.",
        )
    digest = hashlib.sha256()
    query_rows = ({"query_id": each, "text": text} for each, text in texts.items() if each in answered)
    write_batches(queries, "queries", _batches(_hashed(query_rows, digest)))
    qrels_rows = (
        {"query_id": query_id, "doc_id": doc_id, "relevance": grade}
        for query_id, of_query in answered.items()
        for doc_id, grade in of_query.items()
    )
    kept = write_batches(qrels, "qrels", _batches(_hashed(qrels_rows, digest)))
    worded = {query_id for query_id, text in texts.items() if text}
    empty = len(texts) - len(worded)
    relevant = sum(query_id in worded and max(of_query.values()) > 0 for query_id, of_query in grades.items())
    counts = {
        "empty": empty,
        "no relevant passage": len(worded) - relevant,
        "relevant passages not kept": relevant - len(answered),
    }
    unique = sum(map(len, grades.values()))
    within = sum(map(len, inside.values()))
    judgments = {"repeated": judged - unique, "passage not kept": unique - within, "query dropped": within - kept}
    write_json(
        manifest,
        {
            "source": source,
            **provenance(corpus, source),
            "queries": _tally(len(texts), len(answered), counts),
            "judgments": _tally(judged, kept, judgments),
            "digest": digest.hexdigest(),
        },
    )


def describe_collection(corpus_manifest: str, split_manifests: Sequence[str], output: str) -> None:
    """Write one manifest of a collection: its corpus, its splits by file name, and a digest over their digests."""
    corpus = read_json(corpus_manifest)
    splits = {Path(path).stem: read_json(path) for path in sorted(split_manifests)}
    digests = {"corpus": corpus["digest"], "splits": {name: split["digest"] for name, split in splits.items()}}
    write_json(output, {"corpus": corpus, "splits": splits, "digest": value_digest(digests)})


def _survey(passages: Callable[[], Iterator[tuple[str, str]]], source: str, drop_empty: bool) -> tuple[np.ndarray, int]:
    """Check every passage; gives a 64-bit key of each that has text, in order, and the number of those without."""
    keys, empty = array("Q"), 0
    with progress(f"checking {source}", None, "passage") as bar:
        for doc_id, text in passages():
            _check_id(doc_id, "passage", source)
            _check_encodable(text, f"the passage '{doc_id}'", source)
            if text.strip():
                keys.append(key("size", doc_id))
            elif drop_empty:
                empty += 1
            else:
                raise BackfireError(
                    f"'{source}': the passage '{doc_id}' is empty or white space.",
                    "every passage needs text: complete it, remove it from the corpus and its qrels, or set drop_empty "
                    "of the collection, which drops and counts such passages.",
                )
            bar.update()
    found = np.frombuffer(keys, dtype=np.uint64) if keys else np.zeros(0, dtype=np.uint64)
    ordered = np.sort(found)
    repeated = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if repeated:
        seen = set()
        for doc_id, _ in passages():
            if doc_id in seen:
                raise BackfireError(
                    f"'{source}': the passage id '{doc_id}' is there more than once.",
                    "ids must be unique; rename or remove the repetitions.",
                )
            if key("size", doc_id) in repeated:
                seen.add(doc_id)
    return found, empty


def _checked_queries(dataset: Any, source: str, drop_empty: bool) -> dict[str, str]:
    """Texts by query id, in the order of the source; "" is a query to be dropped."""
    texts: dict[str, str] = {}
    for query in records(dataset, source, "queries"):
        query_id, text = query.query_id, wording(query, source)
        _check_id(query_id, "query", source)
        _check_encodable(text, f"the query '{query_id}'", source)
        if query_id in texts:
            raise BackfireError(
                f"'{source}': the query id '{query_id}' is there more than once.",
                "ids must be unique; rename or remove the repetitions.",
            )
        if not text.strip() and not drop_empty:
            raise BackfireError(
                f"'{source}': the query '{query_id}' is empty or white space.",
                "write its text, remove it, or set drop_empty of the collection, which drops and counts such queries.",
            )
        texts[query_id] = text
    return texts


def _checked_qrels(dataset: Any, source: str, texts: dict[str, str]) -> tuple[dict[str, dict[str, int]], int]:
    """Grades by query and passage, in the order of the source, and the number of judgments read."""
    grades: dict[str, dict[str, int]] = {}
    judged = 0
    for qrel in records(dataset, source, "qrels"):
        if qrel.query_id not in texts:
            raise BackfireError(
                f"'{source}': the qrels judge passages for the query '{qrel.query_id}', which is not among the "
                f"{len(texts)} queries.",
                "queries and qrels must come from the same set; add the query or remove its judgments.",
            )
        grades.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
        judged += 1
    if not judged:
        raise BackfireError(f"'{source}': there are no judgments.", "a split needs qrels; choose one that has them.")
    repeated = judged - sum(map(len, grades.values()))
    if repeated:
        _logger.warning("%s: %d judgments repeat an earlier one; the last holds.", source, repeated)
    return grades, judged


def _check_known(missing: set[str], corpus: str, source: str) -> None:
    """Raise for judged passages that the corpus does not hold at all, as against ones that were not kept."""
    if not missing:
        return
    unknown = set(missing)
    for doc in records(load_corpus(corpus), corpus, "docs"):
        unknown.discard(doc.doc_id)
        if not unknown:
            return
    raise BackfireError(
        f"'{source}': the qrels judge the passage '{min(unknown)}'"
        f"{f' and {len(unknown) - 1} more' if len(unknown) > 1 else ''}, which the corpus '{corpus}' does not hold.",
        "corpus and qrels must belong together; check both ids, or whether the corpus was cut short.",
    )


def _check_id(identifier: str, what: str, source: str) -> None:
    # The measures hand ids to C, where NUL ends a text.
    if not identifier or "\0" in identifier:
        raise BackfireError(
            f"'{source}': the {what} id {identifier!r} is empty or holds a NUL character.",
            "give it another id; white space, slashes and any other character are kept as they are.",
        )
    _check_encodable(identifier, f"the {what} id {identifier!r}", source)


def _check_encodable(text: str, what: str, source: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BackfireError(
            f"'{source}': {what} holds half of a surrogate pair at position {error.start}.",
            "the text was cut inside an escaped character such as an emoji; repair it at its origin.",
        ) from error


def _hashed(rows: Iterable[dict], digest: Any) -> Iterator[dict]:
    """`rows` again, with every value added to `digest`."""
    for row in rows:
        digest.update("".join(f"{value}\0" for value in row.values()).encode())
        yield row


def _batches(rows: Iterator[dict]) -> Iterator[list[dict]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _tally(read: int, kept: int, dropped: dict[str, int]) -> dict[str, Any]:
    return {"read": read, "kept": kept, "dropped": {reason: count for reason, count in dropped.items() if count}}
