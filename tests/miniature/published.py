"""Writes a miniature MS MARCO, and BEIR sets beside it, in the formats and under the names that they are published."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ir_datasets.datasets.msmarco_passage import SPLIT200_QIDS

from miniature.collection import Miniature, Pair, double_encoded, miniature

BEIR = ("scifact", "nfcorpus", "fiqa")
BEIR_PASSAGES, BEIR_QUERIES = 60, 20


def publish(folder: Path) -> Miniature:
    """Write every file that is downloaded to `folder`; gives what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    held, rest = miniature()
    queries = {name: _tsv(each.items()) for name, each in held.queries.items()}
    qrels = {
        name: _tsv((query, 0, passage, grade) for query, passage, grade in held.qrels[name]) for name in held.qrels
    }
    collection = _tsv((number, held.published(number)) for number in range(len(held.passages)))
    members = {
        "collection.tsv": collection,
        "qrels.dev.small.tsv": qrels["dev.small"],
        "qrels.train.tsv": qrels["train"],
        **{f"queries.{name}.tsv": queries[name] for name in ("dev.small", "dev", "eval.small", "eval", "train")},
    }
    _tar(folder / "collectionandqueries.tar.gz", members)
    _tar(folder / "queries.tar.gz", {f"queries.{name}.tsv": queries[name] for name in ("dev", "eval", "train")})
    for name in ("train", "dev"):
        (folder / f"qrels.{name}.tsv").write_bytes(qrels[name])
    # In this file queries are double-encoded throughout, though their own file is not.
    train = held.queries["train"]
    triples = (
        (double_encoded(train[query]), held.published(positive), held.published(negative))
        for query, positive, negative in held.triples
    )
    _tar(folder / "triples.train.small.tar.gz", {"triples.train.small.tsv": _tsv(triples)})
    for year, name, second in (("2019", "dl19", "Q0"), ("2020", "dl20", "0")):
        (folder / f"msmarco-test{year}-queries.tsv.gz").write_bytes(gzip.compress(queries[name]))
        judged = "".join(f"{query} {second} {passage} {grade}\n" for query, passage, grade in held.qrels[name])
        (folder / f"{year}qrels-pass.txt").write_text(judged)
    for number, name in enumerate(BEIR):
        _beir(folder / f"{name}.zip", name, rest[number * BEIR_PASSAGES : (number + 1) * BEIR_PASSAGES])
    return held


def counts(held: Miniature) -> dict[str, dict[str, int]]:
    """Number of records of each id that the study of MS MARCO takes."""
    names = {"train": "train", "dev/small": "dev.small", "trec-dl-2019": "dl19", "trec-dl-2020": "dl20"}
    found = {
        f"msmarco-passage/{each}": {"queries": len(held.queries[name]), "qrels": len(held.qrels[name])}
        for each, name in names.items()
    }
    for name in ("queries", "qrels"):
        records = {"queries": held.queries, "qrels": held.qrels}[name]["train"]
        ids = [each if name == "queries" else each[0] for each in records]
        inside = sum(each in SPLIT200_QIDS for each in ids)
        found.setdefault("msmarco-passage/train/split200-valid", {})[name] = inside
        found.setdefault("msmarco-passage/train/split200-train", {})[name] = len(ids) - inside
    for year, name in (("2019", "dl19"), ("2020", "dl20")):
        judged = {query for query, _, _ in held.qrels[name]}
        found[f"msmarco-passage/trec-dl-{year}/judged"] = {"queries": len(judged)}
    found["msmarco-passage"] = {"docs": len(held.passages)}
    found["msmarco-passage/train/triples-small"] = {"docpairs": len(held.triples)}
    for name in BEIR:
        found[f"beir/{name}"] = {"docs": BEIR_PASSAGES + 2 * (name == "fiqa"), "queries": 2 * BEIR_QUERIES}
        found[f"beir/{name}/test"] = {"queries": BEIR_QUERIES, "qrels": BEIR_QUERIES * (1 + (name == "nfcorpus"))}
    return found


def _beir(path: Path, name: str, pairs: list[Pair]) -> None:
    """A BEIR zip: its files are in one folder; titles in all but fiqa, which has empty passages instead."""
    passage_id, query_id = ("MED-{}", "PLAIN-{}") if name == "nfcorpus" else ("{}", "{}")
    extra = {"url": "https://example.org/article"} if name == "nfcorpus" else {}
    corpus = [
        {
            "_id": passage_id.format(7 * number + 10),
            "title": "" if name == "fiqa" else pair.name.replace(".", " "),
            "text": pair.passage,
            "metadata": extra,
        }
        for number, pair in enumerate(pairs)
    ]
    if name == "fiqa":
        corpus[30:30] = [{"_id": f"{number}", "title": "", "text": "", "metadata": {}} for number in (3, 5)]
    queries = [
        {"_id": query_id.format(3 * number + 2), "text": pair.query, "metadata": extra}
        for number, pair in enumerate(pairs[: 2 * BEIR_QUERIES])
    ]
    answers = {each["_id"]: passage_id.format(7 * number + 10) for number, each in enumerate(queries)}
    grade = 2 if name == "nfcorpus" else 1
    rows = [(query, passage, grade) for query, passage in answers.items()]
    splits = {
        "train": rows[BEIR_QUERIES + 5 :],
        "dev": rows[BEIR_QUERIES : BEIR_QUERIES + 5],
        "test": rows[:BEIR_QUERIES],
    }
    if name == "nfcorpus":
        splits["test"] += [(query, passage_id.format(7 * 50 + 10), 1) for query, _, _ in splits["test"]]
    if name == "scifact":
        splits["train"] += splits.pop("dev")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(name)
        archive.writestr(f"{name}/corpus.jsonl", _json_lines(corpus))
        archive.writestr(f"{name}/queries.jsonl", _json_lines(queries))
        archive.mkdir(f"{name}/qrels")
        for split, judged in splits.items():
            archive.writestr(f"{name}/qrels/{split}.tsv", b"query-id\tcorpus-id\tscore\n" + _tsv(judged))


def _tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _tsv(rows: Iterable[tuple]) -> bytes:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


def _json_lines(records: list[dict]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()
