import logging
import random
from collections import Counter

import ir_datasets
import pytest

from backfire.datasets import pydocs
from backfire.datasets.docstrings import MIN_PASSAGE_WORDS, Pair
from backfire.datasets.duplicates import shingles
from backfire.datasets.extraction import SPLITS, records
from backfire.datasets.packages import PACKAGES, UNSEEN, package_versions
from backfire.datasets.text import normalised
from backfire.keyed import key


@pytest.fixture
def collection(pydocs_home):
    """[Record as a dict] of the whole collection."""
    return list(pydocs._records())


def test_two_jobs_at_once_extract_once_and_leave_no_partial_file(two_extractions):
    home, results = two_extractions
    assert [error.count("extracting pydocs") for _, error in results].count(1) == 1
    assert sum(error.count("extracting pydocs") for _, error in results) == 1
    assert results[0][0] == results[1][0] != ""
    assert sorted(path.suffix for path in (home / "pydocs").iterdir()) in (
        ["", ".jsonl"],
        [".jsonl"],
        [".jsonl", ".lock"],
    )


def test_the_collection_of_the_pinned_versions_is_the_pinned_one(pydocs_home, caplog):
    assert package_versions() == pydocs.PINNED_VERSIONS
    assert pydocs.collection_digest() == pydocs.PINNED_DIGEST
    assert not caplog.records
    counts = {split: len(ir_datasets.load(f"pydocs/{split}").queries) for split in SPLITS}
    assert {"passages": ir_datasets.load("pydocs").docs_count(), **counts} == pydocs.PINNED_COUNTS


def test_other_versions_are_told_by_a_warning(pydocs_home, monkeypatch, caplog):
    monkeypatch.setitem(pydocs.PINNED_VERSIONS, "numpy", "1.0.0")
    monkeypatch.setattr(pydocs, "PINNED_DIGEST", "0" * 64)
    with caplog.at_level(logging.WARNING):
        digest = pydocs.collection_digest()
    assert f"numpy {package_versions()['numpy']}" in caplog.text
    assert digest in caplog.text


def test_it_is_an_ir_datasets_dataset(pydocs_home):
    corpus = ir_datasets.load("pydocs")
    assert corpus.has_docs() and not corpus.has_queries() and not corpus.has_qrels()
    first = list(corpus.docs[:3])
    assert [corpus.docs[position] for position in range(3)] == first
    assert corpus.docs[-1] == list(corpus.docs_iter())[-1]
    assert list(corpus.docs_iter()[0.5:])[0] == corpus.docs[corpus.docs_count() // 2]
    assert corpus.docs.lookup(first[1].doc_id) == first[1]
    assert set(corpus.docs.lookup([doc.doc_id for doc in first] + ["nothing"])) == {doc.doc_id for doc in first}
    with pytest.raises(KeyError):
        corpus.docs.lookup("nothing")
    with pytest.raises(IndexError):
        corpus.docs[10**6]

    test = ir_datasets.load("pydocs/test")
    assert len(test.docs) == len(corpus.docs)
    query = next(test.queries_iter())
    judged = test.qrels.asdict()[query.query_id]
    (doc_id,) = judged
    assert judged == {doc_id: 1}
    assert query.query_id == f"q:{doc_id}"
    assert test.queries.lookup(query.query_id) == query
    assert test.docs.lookup(doc_id).default_text() == test.docs.lookup(doc_id).text


def test_ids_are_unique_free_of_white_space_and_differ_between_queries_and_passages(collection):
    docs, queries = ({record[key] for record in collection} for key in ("doc_id", "query_id"))
    assert len(docs) == len(queries) == len(collection)
    assert not docs & queries
    assert all(len(each.split()) == 1 for each in docs | queries)
    known = next(record for record in collection if record["doc_id"] == "scipy.stats._stats_py.kurtosis")
    assert known["query"].startswith("Compute the kurtosis")
    assert known["package"] == "scipy"


def test_texts_are_long_enough_and_no_query_or_passage_is_there_twice(collection):
    for name in ("query", "text"):
        assert max(Counter(normalised(record[name]) for record in collection).values()) == 1
    assert min(len(record["text"].split()) for record in collection) >= MIN_PASSAGE_WORDS
    assert not [record for record in collection if f" {record['query']} " in f" {record['text']} "]


def test_unseen_packages_have_no_query_in_another_split(collection):
    splits = {package: {r["split"] for r in collection if r["package"] == package} for package in PACKAGES}
    assert all(splits[package] == ({"unseen"} if package in UNSEEN else {"train", "dev", "test"}) for package in splits)
    assert 0.15 < sum(record["split"] == "unseen" for record in collection) / len(collection) < 0.3


def test_no_passage_has_a_near_duplicate(collection):
    # Each of a sample is compared with every passage, which no prefix filter has a part in.
    vocabulary = {}
    sets = [shingles(record["text"], vocabulary) for record in collection]
    for position in random.Random(0).sample(range(len(sets)), 40):
        mine = sets[position]
        near = [
            other
            for other, theirs in enumerate(sets)
            if 0.8 * len(mine) <= len(theirs) <= len(mine) / 0.8  # else fewer than 0.8 can be shared
            and other != position
            and len(mine & theirs) >= 0.8 * len(mine | theirs)
        ]
        assert not near, (collection[position]["doc_id"], [collection[other]["doc_id"] for other in near])


def test_a_small_subset_keeps_enough_queries_of_every_split(collection):
    subset = sorted(collection, key=lambda record: key("size", record["doc_id"]))[:2000]
    counts = Counter(record["split"] for record in subset)
    assert counts["train"] >= 600 and counts["dev"] >= 120 and counts["test"] >= 600 and counts["unseen"] >= 400


def test_repetitions_lose_to_what_comes_first_also_across_packages():
    body = "walks over every node of the tree and adds the weight of each edge to the total that it has found so far"
    packages = [
        (
            "numpy",
            [
                Pair("numpy.a", "Sum of the weights.", f"It {body}"),
                Pair("numpy.a", "Another name clash here.", "one two three four five six seven eight nine ten"),
                Pair("numpy.b", "SUM of the weights", f"Recursively {body[:40]} and stops there without a result"),
                Pair("numpy.c", "Count the nodes.", "Nothing like the others is said in this passage at all, is it"),
            ],
        ),
        (
            "sympy",
            [
                Pair("sympy.a", "Weights of a tree.", f"it {body}!"),
                Pair("sympy.b", "Weights of trees.", f"It {body} now"),
                Pair(
                    "sympy.c",
                    "Leaves of a tree.",
                    "Leaves are listed from left to right, one after the other",
                ),
            ],
        ),
    ]
    assert [record.doc_id for record in records(packages)] == ["numpy.a", "numpy.c", "sympy.c"]
    assert [record.split for record in records(packages)][2] == "unseen"
