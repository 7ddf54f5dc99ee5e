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

from backfire.datasets.judged import Missing, passages_themselves, read_qrels, unknown_passages
from backfire.datasets.load import load_corpus, load_split, provenance, records
from backfire.datasets.passages import doc_ids
from backfire.datasets.text import normalised
from backfire.datasets.wording import DEFAULT, wording
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.tables import write_batches
from backfire.jobs.logs import progress
from backfire.keyed import key, keyed_share
from backfire.provenance.fingerprints import value_digest

BATCH = 16384
# What happens to judgments of what the source does not hold.
REFUSE, DROP = "refuse", "drop"

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
    missing: str = REFUSE,
    part: Sequence[float] | None = None,
) -> None:
    """Write queries and qrels of the split `source` as Parquet, restricted to the passages in `corpus_shards`.

    Judgments of passages that were not kept are dropped and counted, and so are queries that no kept passage is
    relevant to (grade 1 or more), and with `drop_empty` those without text. Judgments of a query or passage that the
    source does not hold at all are refused, or with `missing` "drop" dropped and counted. Queries and judgments keep
    the order of the source; where a passage is judged twice for a query the last judgment holds, as in trec_eval.
    `part` is a range of shares, as [0, 0.1]: queries whose text's hash falls outside it are left out and counted.
    The manifest also tells how many queries are passages themselves. Raises `BackfireError` for an empty set, a
    repeated query id, an empty query, and a set of another corpus.
    """
    dataset = load_split(corpus, source)
    texts = _checked_queries(dataset, source, drop_empty)
    grades, judged = read_qrels(dataset, source)
    apart = {each for each, text in texts.items() if part is not None and not _within(text, part)}
    asked = len(texts)
    grades = {each: of_query for each, of_query in grades.items() if each not in apart}
    texts = {each: text for each, text in texts.items() if each not in apart}
    orphans = {query_id: grades.pop(query_id) for query_id in [each for each in grades if each not in texts]}
    # The last judgment of a passage holds, so repeated ones are counted among those of known queries only.
    orphaned, total = sum(judged[query_id] for query_id in orphans), sum(judged.values())
    elsewhere = sum(judged[query_id] for query_id in apart)
    needed = {doc_id for of_query in grades.values() for doc_id in of_query}
    present, own = set(), set()
    for doc_id in doc_ids(corpus_shards):
        if doc_id in needed:
            present.add(doc_id)
        if doc_id in texts:
            own.add(doc_id)
    unknown = unknown_passages(needed - present, corpus)
    lost = Missing(corpus, source, list(orphans), sorted(unknown), len(texts))
    if lost and missing == REFUSE:
        raise lost.refusal()

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
    relevant = {query for query, of_query in grades.items() if query in worded and max(of_query.values()) > 0}
    known = {
        query_id
        for query_id in relevant
        if any(grade > 0 and doc_id not in unknown for doc_id, grade in grades[query_id].items())
    }
    counts = {
        "in the other part": len(apart),
        "empty": len(texts) - len(worded),
        "no relevant passage": len(worded) - len(relevant),
        "relevant passages missing": len(relevant) - len(known),
        "relevant passages not kept": len(known) - len(answered),
    }
    unique = sum(map(len, grades.values()))
    within = sum(map(len, inside.values()))
    without = sum(doc_id in unknown for of_query in grades.values() for doc_id in of_query)
    judgments = {
        "query missing": orphaned,
        "query in the other part": elsewhere,
        "repeated": total - orphaned - elsewhere - unique,
        "passage missing": without,
        "passage not kept": unique - without - within,
        "query dropped": within - kept,
    }
    if lost:
        _logger.warning(
            "%s. They are left out. Values may be higher than published ones: there a query scores 0 whose relevant "
            "passages are all missing (%d here), and a missing passage counts as not found.",
            lost,
            counts["relevant passages missing"],
        )
    themselves = passages_themselves(own & set(answered), texts, corpus_shards)
    if themselves:
        _logger.warning(
            "%s: %d of %d queries are passages of the corpus themselves (same id, same text), which a model ranks "
            "first. BEIR drops them from rankings before it scores; the block `protocol` tells what that is worth.",
            source,
            themselves,
            len(answered),
        )
    write_json(
        manifest,
        {
            "source": source,
            **provenance(corpus, source),
            "queries": _tally(asked, len(answered), counts),
            "judgments": _tally(total, kept, judgments),
            **({"missing": lost.counts()} if lost else {}),
            **({"queries that are passages": themselves} if themselves else {}),
            "digest": digest.hexdigest(),
        },
    )


def describe_collection(
    corpus_manifest: str,
    split_manifests: Sequence[str],
    output: str,
    pairs_manifest: str | None = None,
    joined_manifests: Sequence[str] = (),
) -> None:
    """Write one manifest of a collection: its corpus, its splits by file name, and a digest over their digests.

    Where it was made of a file of pairs, what was read of that goes along, and where it joins others, what was left
    out of each query set.
    """
    corpus = read_json(corpus_manifest)
    splits = {Path(path).stem: read_json(path) for path in sorted(split_manifests)}
    digests = {"corpus": corpus["digest"], "splits": {name: split["digest"] for name, split in splits.items()}}
    made = {"pairs": read_json(pairs_manifest)} if pairs_manifest else {}
    if joined_manifests:
        made = {"joined": {Path(path).stem: read_json(path)["left out"] for path in joined_manifests}}
    write_json(output, {"corpus": corpus, **made, "splits": splits, "digest": value_digest(digests)})


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


def _within(text: str, part: Sequence[float]) -> bool:
    """Whether the hash of a query's text falls into a part; texts that differ in case and spacing go together."""
    low, high = part
    return low <= keyed_share("part", normalised(text)) < high


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
