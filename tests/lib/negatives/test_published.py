"""Sampling published triples from a file in the form of `ir_datasets`, read by its own classes."""

import random

import ir_datasets
import numpy as np
import pytest
from ir_datasets.datasets.base import Dataset
from ir_datasets.formats import TsvDocPairs
from ir_datasets.util import LocalDownload

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import read_rows
from backfire.keyed import key
from backfire.negatives import published as module
from backfire.negatives.published import sample_published
from backfire.retrieval.search import pair_scores

NAME = "pairs-of-a-test"


@pytest.fixture
def publish(tmp_path):
    """A function that makes lines of ids the document pairs of an id."""

    def write(lines):
        (tmp_path / "pairs.tsv").write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
        ir_datasets.registry.register(NAME, Dataset(TsvDocPairs(LocalDownload(tmp_path / "pairs.tsv"))))
        return NAME

    yield write
    ir_datasets.registry._registered.pop(NAME, None)


@pytest.fixture
def lines(pydocs):
    """Triples of training queries and passages, among them repeated ones, and ids that were not exported."""
    choice = random.Random(0)
    ids, asked = [doc_id for doc_id, _ in pydocs[0]], [query_id for query_id, _ in pydocs[1]]
    found = [(choice.choice(asked), choice.choice(ids), choice.choice(ids)) for _ in range(500)]
    found += choice.choices(found, k=60)
    found += [("another query", *line[1:]) for line in found[:20]]
    found += [(line[0], "another passage", line[2]) for line in found[:7]]
    found += [(*line[:2], "another passage") for line in found[:8]]
    choice.shuffle(found)
    return found


@pytest.fixture
def sample(queries, shards, tmp_path):
    """A function that samples, and gives the triples, and the bytes and the counts that were written."""

    def run(source, size, seed=3, count=2):
        files = shards(count)
        written = {"output": str(tmp_path / "triples.parquet"), "manifest": str(tmp_path / "triples.json")}
        inputs = {"corpus_shards": files["corpus"], "embeddings": files["embeddings"], "queries": queries["queries"]}
        inputs |= {"query_embeddings": queries["embeddings"]}
        sample_published("msmarco-passage", source, **inputs, size=size, seed=seed, **written)
        rows = read_rows(written["output"], "triples").to_pylist()
        return rows, (tmp_path / "triples.parquet").read_bytes(), read_json(written["manifest"])

    return run


def known(lines):
    """The distinct triples whose ids were all exported."""
    return {line for line in lines if not any(part.startswith("another") for part in line)}


@pytest.mark.parametrize("size", [1, 200, None])
@pytest.mark.parametrize("block", [1 << 16, 50])
def test_those_with_the_smallest_keys_in_their_order(size, block, lines, publish, sample, monkeypatch):
    monkeypatch.setattr(module, "READ", block)
    rows, _, counts = sample(publish(lines), size)
    expected = sorted(known(lines), key=lambda line: key(3, *line))[:size]
    assert [(row["query_id"], row["positive_id"], row["negative_id"]) for row in rows] == expected
    assert {(row["source"], row["rank"]) for row in rows} == {("published", None)}
    repeated = sum(line in set(expected) for line in lines) - len(expected)
    dropped = {
        "query is no training query": 20,
        "passage not kept": 15,
        "repeats a kept one": repeated,
        "beyond size": len(lines) - 35 - repeated - len(expected),
    }
    assert counts["dropped"] == {why: number for why, number in dropped.items() if number}
    assert (counts["read"], counts["kept"], counts["source"]) == (len(lines), len(expected), NAME)


def test_a_query_that_is_a_passage_is_no_negative_of_its_own(pydocs, table, vectors, publish, shards, tmp_path):
    """Negatives that are the query by id or by text are dropped and counted, and only for that query."""
    (own, own_text), (twin, twin_text), (third, _) = pydocs[0][:3]
    texts = {own: own_text, "q": twin_text, "free": "another text"}
    files = shards(2)
    alike = {doc_id for doc_id, text in pydocs[0] if text == twin_text}
    queries = table("own", "queries", [{"query_id": query, "text": text} for query, text in texts.items()])
    write_embeddings(tmp_path / "own.emb", "query_id", list(texts), vectors[0][:3])
    kept = [(own, third, twin), ("q", third, own), ("free", third, own), ("free", third, twin)]
    dropped = [(own, third, own), *(("q", third, doc_id) for doc_id in alike)]
    sample_published(
        "msmarco-passage",
        publish(kept + dropped),
        queries=queries,
        corpus_shards=files["corpus"],
        query_embeddings=str(tmp_path / "own.emb"),
        embeddings=files["embeddings"],
        size=None,
        seed=0,
        output=str(tmp_path / "t.parquet"),
        manifest=str(tmp_path / "t.json"),
    )
    rows = read_rows(tmp_path / "t.parquet", "triples").to_pylist()
    assert {(row["query_id"], row["positive_id"], row["negative_id"]) for row in rows} == set(kept)
    assert read_json(tmp_path / "t.json")["dropped"] == {"negative is the query itself": len(dropped)}


def test_cosines_are_those_of_the_model(lines, publish, sample, pydocs, vectors):
    passage = {doc_id: row for row, (doc_id, _) in enumerate(pydocs[0])}
    query = {query_id: row for row, (query_id, _) in enumerate(pydocs[1])}
    for row in sample(publish(lines), 50)[0]:
        rows = np.array([passage[row["negative_id"]]])
        expected = pair_scores(vectors[1][query[row["query_id"]]], vectors[0], rows)
        assert row["base_score"] == pytest.approx(float(expected[0]), abs=1e-6)


def test_shards_and_order_change_no_byte_and_seeds_do(lines, publish, sample):
    first = sample(publish(lines), 100, count=1)
    ir_datasets.registry._registered.pop(NAME)
    second = sample(publish(lines[::-1]), 100, count=3)
    assert second[1:] == first[1:]
    assert sample(NAME, 100, seed=4)[1] != first[1]


def test_too_few_are_an_error_with_the_counts(lines, publish, sample):
    usable = len(known(lines))
    with pytest.raises(
        BackfireError, match=rf"1000 asked for, but .* only {usable} of the {len(lines)} read"
    ) as caught:
        sample(publish(lines), 1000)
    assert "lower size" in caught.value.hint
    ir_datasets.registry._registered.pop(NAME)
    with pytest.raises(BackfireError, match="1 asked for"):
        sample(publish([("another query", "a", "b")]), None)


def test_an_id_without_document_pairs_is_an_error(sample):
    with pytest.raises(BackfireError, match="has no document pairs"):
        sample("msmarco-passage/dev/small", 5)


def test_triples_of_another_corpus_are_an_error(sample):
    with pytest.raises(BackfireError, match="belongs to the corpus 'tripclick', not to 'msmarco-passage'"):
        sample("tripclick/train", 5)


def test_a_file_that_is_not_there_is_an_error(publish, sample, tmp_path):
    source = publish([("a", "b", "c")])
    (tmp_path / "pairs.tsv").unlink()
    with pytest.raises(BackfireError, match=r"pairs\.tsv"):
        sample(source, 5)
