"""A collection in BEIR layout whose relevant passages stand in the same module of sympy as the query's own."""

import json
from collections import defaultdict
from pathlib import Path

from backfire.datasets.pydocs import collection_file
from backfire.keyed import key

MODULES, LEAST, MOST = 36, 8, 12


def write_modules(folder: Path) -> None:
    """Write corpus, queries and judgments.

    train: one relevant passage for each query; dev and test: all of them, and the query's own at grade 2; own: the
    queries of test with their own passage alone; unseen: as test, of modules that none of the others has queries of.
    """
    records = [json.loads(line) for line in collection_file().open(encoding="utf-8")]
    modules = defaultdict(list)
    for record in records:
        if record["package"] == "sympy":
            modules[".".join(record["doc_id"].split(".")[:3])].append(record)
    large = sorted((name for name, members in modules.items() if len(members) >= LEAST), key=lambda name: key(0, name))
    kept = [sorted(modules[name], key=lambda each: key(0, each["doc_id"]))[:MOST] for name in large[:MODULES]]

    (folder / "qrels").mkdir(parents=True)
    everything = [record for members in kept for record in members]
    _write(folder / "corpus.jsonl", ({"_id": each["doc_id"], "text": each["text"]} for each in everything))
    _write(folder / "queries.jsonl", ({"_id": each["query_id"], "text": each["query"]} for each in everything))
    qrels = defaultdict(list)
    for number, members in enumerate(kept):
        for record in members:
            query, own = record["query_id"], record["doc_id"]
            mates = [each["doc_id"] for each in members if each is not record]
            draw = key(0, "split", query) % 10
            split = "unseen" if number % 4 == 3 else "train" if draw < 5 else "dev" if draw == 5 else "test"
            if split == "train":
                qrels["train"].append((query, mates[key(0, "mate", query) % len(mates)], 1))
                continue
            qrels[split] += [(query, own, 2), *((query, mate, 1) for mate in mates)]
            if split == "test":
                qrels["own"].append((query, own, 1))
    for split, rows in qrels.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
        (folder / f"qrels/{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write(path: Path, records) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
