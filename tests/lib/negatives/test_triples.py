"""Sampling triples: the contract, the exclusions, and choices that do not depend on order or shards."""

from collections import Counter

import numpy as np
import pytest

from backfire.datasets.text import normalised
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import read_rows
from backfire.keyed import key
from backfire.negatives import draws as module
from backfire.negatives.hard import mine_hard
from backfire.negatives.triples import sample_triples
from backfire.retrieval.index import index_shard
from backfire.retrieval.lexical import count_terms, mine_bm25
from backfire.retrieval.merging import merge_candidates

PASSAGES = {
    "sort": "Sort the elements of an array along an axis and return a sorted copy of it.",
    "argsort": "Return the indices that would sort an array along the given axis.",
    "sort-again": "Sort the elements of an array, along an axis; and return a SORTED copy of it!",
    "fft": "Compute the discrete Fourier transform with the fast algorithm.",
    "ifft": "Compute the inverse of the discrete Fourier transform.",
    "svd": "Factor a matrix into singular vectors and singular values.",
    "eig": "Compute the eigenvalues and eigenvectors of a square matrix.",
    "mean": "Compute the arithmetic mean along the specified axis of an array.",
}
QUERIES = {
    "q1": "sort an array along an axis and compute its transform",
    "q2": "compute the discrete Fourier transform of an array along an axis",
    "q3": "compute the eigenvalues of a matrix or array",
}
QRELS = [("q1", "sort", 1), ("q1", "argsort", 0), ("q2", "fft", 1), ("q2", "ifft", 1), ("q3", "eig", 1)]


@pytest.fixture
def world(table, tmp_path):
    """A function that writes the collection in so many shards, in the order given, and names its files."""

    def build(shards=2, reverse=False):
        rng = np.random.default_rng(0)
        vectors = {name: rng.normal(size=16) for name in [*PASSAGES, *QUERIES]}
        vectors = {name: (v / np.linalg.norm(v)).astype(np.float32) for name, v in vectors.items()}
        items = list(PASSAGES.items())[:: -1 if reverse else 1]
        parts = [part.tolist() for part in np.array_split(np.arange(len(items)), shards)]
        corpus, embeddings, indexes = [], [], []
        for number, rows in enumerate(parts):
            rows_here = [items[row] for row in rows]
            name = f"{shards}-{reverse}-{number}"
            corpus.append(table(f"corpus-{name}", "corpus", [{"doc_id": i, "text": t} for i, t in rows_here]))
            embeddings.append(str(tmp_path / f"emb-{name}.parquet"))
            write_embeddings(
                embeddings[-1], "doc_id", [i for i, _ in rows_here], np.stack([vectors[i] for i, _ in rows_here])
            )
            indexes.append(str(tmp_path / f"index-{name}.faiss"))
            index_shard(embeddings[-1], "Flat", indexes[-1])
        asked = list(QUERIES.items())[:: -1 if reverse else 1]
        queries = [{"query_id": i, "text": t} for i, t in asked]
        qrels = [dict(zip(("query_id", "doc_id", "relevance"), row, strict=True)) for row in QRELS]
        query_embeddings = str(tmp_path / "queries-emb.parquet")
        write_embeddings(query_embeddings, "query_id", [i for i, _ in asked], np.stack([vectors[i] for i, _ in asked]))
        return {
            "corpus": corpus,
            "embeddings": embeddings,
            "indexes": indexes,
            "queries": table(f"queries-{reverse}", "queries", queries),
            "qrels": table("qrels", "qrels", qrels[:: -1 if reverse else 1]),
            "query_embeddings": query_embeddings,
            "vectors": vectors,
            "out": str(tmp_path / "triples.parquet"),
            "candidates": str(tmp_path / "candidates.parquet"),
        }

    return build


def mine(files, source, depth):
    """Path of the candidates of the whole collection."""
    part = files["candidates"] + ".part"
    if source == "bm25":
        count_terms(files["corpus"], part + ".terms")
        mine_bm25(part + ".terms", files["corpus"], files["queries"], depth, part)
    else:
        mine_hard(files["query_embeddings"], files["embeddings"], files["indexes"], depth, part)
    merge_candidates([part], files["queries"], depth, files["candidates"])
    return files["candidates"]


def sample(files, source, size, seed=0, depth=8, ranks=None):
    """Triples from a source, as a list of dicts."""
    candidates = mine(files, source, depth) if source != "random" else None
    sample_triples(
        source=source,
        candidates=candidates,
        queries=files["queries"],
        qrels=files["qrels"],
        corpus=files["corpus"],
        query_embeddings=files["query_embeddings"],
        embeddings=files["embeddings"],
        size=size,
        seed=seed,
        output=files["out"],
        ranks=ranks,
    )
    return read_rows(files["out"], "triples").to_pylist()


def test_bm25_candidates_share_a_word_and_are_ordered(world):
    files = world()
    rows = [row for row in read_rows(mine(files, "bm25", 8), "candidates").to_pylist() if row["query_id"] == "q2"]
    assert [row["doc_id"] for row in rows][:2] == ["ifft", "fft"] or [row["doc_id"] for row in rows][:2] == [
        "fft",
        "ifft",
    ]
    assert "svd" not in [row["doc_id"] for row in rows]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(a["score"] >= b["score"] > 0 for a, b in zip(rows, rows[1:], strict=False))


@pytest.mark.parametrize("source", ["random", "bm25", "hard"])
def test_the_contract_of_every_source(world, source):
    files = world()
    triples = sample(files, source, 6)
    assert len(triples) == 6
    assert {row["source"] for row in triples} == {source}
    for row in triples:
        relevant = {doc for query, doc, grade in QRELS if query == row["query_id"] and grade > 0}
        judged = {doc for query, doc, _ in QRELS if query == row["query_id"]}
        assert row["positive_id"] in relevant
        assert row["negative_id"] not in judged
        assert (row["query_id"], row["negative_id"]) != ("q1", "sort-again"), "the same text as a relevant passage"
        assert (row["rank"] is None) == (source == "random")
        expected = np.dot(files["vectors"][row["query_id"]], files["vectors"][row["negative_id"]])
        assert row["base_score"] == pytest.approx(expected, abs=1e-6)
    assert len({(row["query_id"], row["negative_id"]) for row in triples}) == 6, "no negative twice for a query"
    counts = [sum(row["query_id"] == query for row in triples) for query in QUERIES]
    assert counts == [2, 2, 2], "every query once before any is taken again"


@pytest.mark.parametrize("source", ["bm25", "hard"])
def test_order_and_shards_do_not_matter(world, source):
    assert sample(world(1), source, 6) == sample(world(3, reverse=True), source, 6)


def test_shards_do_not_matter_to_uniform_draws(world):
    assert sample(world(1), "random", 5) == sample(world(4), "random", 5)


def test_seeds_differ_and_repeat(world):
    files = world()
    assert sample(files, "random", 6, seed=1) == sample(files, "random", 6, seed=1)
    assert sample(files, "random", 6, seed=1) != sample(files, "random", 6, seed=2)


def test_fewer_negatives_than_asked_for_is_an_error(world):
    with pytest.raises(BackfireError, match="give only 19 with") as caught:
        sample(world(), "random", 100)
    assert "lower size to 19 or less" in caught.value.hint and "depth" not in caught.value.hint
    assert len(sample(world(), "random", 19)) == 19
    with pytest.raises(BackfireError, match="give only 6 with") as caught:
        sample(world(), "hard", 100, depth=2)
    assert "lower size to 6 or less" in caught.value.hint and "raise depth" in caught.value.hint


@pytest.mark.parametrize("source", ["bm25", "hard"])
def test_negatives_come_from_the_ranks_that_are_named(world, source):
    """Those of the whole list that have such a rank, whatever else could have been drawn."""
    everything = sample(world(), source, None if source == "bm25" else 18)
    for first, last in ((1, 8), (2, 4), (4, 4)):
        within = sample(world(), source, None, ranks=[first, last])
        assert within and all(first <= row["rank"] <= last for row in within)
        drawn = {(row["query_id"], row["negative_id"]): row["rank"] for row in everything}
        known = [row for row in within if (row["query_id"], row["negative_id"]) in drawn]
        assert all(row["rank"] == drawn[row["query_id"], row["negative_id"]] for row in known)
    with pytest.raises(BackfireError, match="give only") as caught:
        sample(world(), source, 100, ranks=[2, 3])
    assert "widen ranks" in caught.value.hint


def test_depth_beyond_the_corpus_is_the_whole_corpus(world):
    assert sample(world(), "hard", 3, depth=9) == sample(world(), "hard", 3, depth=8)


def test_uniform_draws_cover_the_corpus_evenly(table, tmp_path):
    """Each of 20 passages is drawn about equally often for 2,000 queries."""
    passages = [{"doc_id": f"d{i}", "text": f"passage number {i}"} for i in range(21)]
    queries = [f"q{i}" for i in range(2000)]
    vectors = np.eye(21, 24, dtype=np.float32)
    write_embeddings(tmp_path / "e.parquet", "doc_id", [row["doc_id"] for row in passages], vectors)
    write_embeddings(tmp_path / "q.parquet", "query_id", queries, np.tile(vectors[0], (2000, 1)))
    sample_triples(
        source="random",
        candidates=None,
        queries=table("queries", "queries", [{"query_id": q, "text": f"query {q}"} for q in queries]),
        qrels=table("qrels", "qrels", [{"query_id": q, "doc_id": "d0", "relevance": 1} for q in queries]),
        corpus=[table("corpus", "corpus", passages)],
        query_embeddings=str(tmp_path / "q.parquet"),
        embeddings=[str(tmp_path / "e.parquet")],
        size=2000,
        seed=0,
        output=str(tmp_path / "t.parquet"),
    )
    drawn = read_rows(tmp_path / "t.parquet", "triples")["negative_id"].to_pylist()
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == 20
    from scipy.stats import chisquare

    assert chisquare(counts).pvalue > 0.001


def by_the_rule(size, seed, qrels, texts, lists):
    """(query, positive, negative) by the documented rule, from every query's whole list of candidates."""
    relevant = {}
    for query, doc, grade in qrels:
        relevant.setdefault(query, []).extend([doc] if grade > 0 else [])
    usable = {}
    for query, answers in relevant.items():
        judged = {doc for asked, doc, grade in qrels if asked == query and grade > 0}
        alike = {normalised(texts[doc]) for doc in answers}
        left = [doc for doc in lists.get(query, []) if doc not in judged and normalised(texts[doc]) not in alike]
        usable[query] = sorted(left, key=lambda doc, query=query: (key(seed, query, doc), doc))
    found = []
    for number in range(max(map(len, usable.values())) if size else 1):
        for query in sorted(usable, key=lambda query: (key(seed, query), query)):
            for negative in usable[query][number : number + 1]:
                answers = sorted(relevant[query])
                positive = answers[key(seed, query, "positive", negative) % len(answers)]
                found.append((query, positive, negative))
    return found[:size]


@pytest.mark.parametrize("size", [None, 10, 40, 100, "all"])
@pytest.mark.parametrize("spare", [0, 2])
def test_triples_are_those_of_the_rule(size, spare, pydocs, shards, queries, table, tmp_path, monkeypatch):
    """Lists of unequal length, with passages that repeat a relevant one; draws that run dry are drawn again."""
    monkeypatch.setattr(module, "SPARE", spare)
    texts = dict(pydocs[0])
    repeated = [doc_id for doc_id in texts if f"{doc_id}.again" in texts]
    files = shards(3)
    files |= {"queries": queries["queries"], "query_embeddings": queries["embeddings"], "out": str(tmp_path / "t")}
    files |= {"candidates": str(tmp_path / "candidates.parquet")}
    mine(files, "bm25", 12)
    rows = read_rows(files["candidates"], "candidates").to_pylist()
    lists = {}
    for row in rows:
        lists.setdefault(row["query_id"], []).append(row["doc_id"])
    qrels = []
    for number, (query, _) in enumerate(pydocs[1]):
        listed = [doc for doc in repeated if doc in lists.get(query, [])][:2]
        qrels += [(query, doc, 1) for doc in {*listed, repeated[number % len(repeated)]}]
        qrels += [(query, doc, 0) for doc in lists.get(query, [])[:number] if doc not in listed][: number // 4]
    files["qrels"] = table(
        "judged", "qrels", [dict(zip(("query_id", "doc_id", "relevance"), row, strict=True)) for row in qrels]
    )
    every = len(by_the_rule(10**6, 5, qrels, texts, lists))
    size = every if size == "all" else size
    expected = by_the_rule(size, 5, qrels, texts, lists)
    if size is not None:
        assert len(expected) == size
    names = {
        name: files[name] for name in ("candidates", "queries", "qrels", "corpus", "query_embeddings", "embeddings")
    }
    sample_triples(source="bm25", **names, size=size, seed=5, output=files["out"])
    found = read_rows(files["out"], "triples").to_pylist()
    assert [(row["query_id"], row["positive_id"], row["negative_id"]) for row in found] == expected
    ranks = {(row["query_id"], row["doc_id"]): row["rank"] for row in rows}
    assert [row["rank"] for row in found] == [ranks[row["query_id"], row["negative_id"]] for row in found]
    with pytest.raises(BackfireError, match=f"give only {every} "):
        sample_triples(source="bm25", **names, size=every + 1, seed=5, output=files["out"])


def test_without_a_size_every_query_with_a_negative_gives_one_triple(world, table):
    files = world()
    every = [{"query_id": "q3", "doc_id": doc, "relevance": 1} for doc in PASSAGES]
    files["qrels"] = table("all-judged", "qrels", [*read_rows(files["qrels"], "qrels").to_pylist()[:-1], *every])
    assert sorted(row["query_id"] for row in sample(files, "hard", None)) == ["q1", "q2"]
    files["qrels"] = table("only-judged", "qrels", every)
    with pytest.raises(BackfireError, match="1 asked for, but the 1 training queries give only 0"):
        sample(files, "hard", None)


def test_grades_below_the_threshold_are_neither_positives_nor_negatives(world, table):
    files = world()
    graded = [("q1", "sort", 2), ("q1", "fft", 1), ("q1", "svd", 0), ("q1", "eig", -1), ("q2", "fft", 1)]
    rows = [dict(zip(("query_id", "doc_id", "relevance"), row, strict=True)) for row in graded]
    files["qrels"] = table("graded", "qrels", rows)
    names = {name: files[name] for name in ("queries", "qrels", "corpus", "query_embeddings", "embeddings")}
    # All that q1 has: what reads like its positive is left out too.
    everything = {"argsort", "ifft", "svd", "eig", "mean"}
    for source, candidates in (("random", None), ("hard", mine(files, "hard", 8))):
        options = {"source": source, "candidates": candidates, "seed": 0, "output": files["out"], "relevant_from": 2}
        sample_triples(**names, **options, size=len(everything))
        found = read_rows(files["out"], "triples").to_pylist()
        assert {(row["query_id"], row["positive_id"]) for row in found} == {("q1", "sort")}
        assert {row["negative_id"] for row in found} == everything
        with pytest.raises(BackfireError, match="has a passage of grade 3 or more.*\nHint: lower train"):
            sample_triples(**names, **options | {"relevant_from": 3}, size=1)


@pytest.mark.parametrize("source", ["random", "bm25", "hard"])
@pytest.mark.parametrize("relevant_from", [1, 2])
def test_a_query_that_is_a_passage_is_no_negative_of_its_own(source, relevant_from, world, table, tmp_path, caplog):
    """As in ArguAna: svd is asked for under its own id, mean under another, and sort is the answer to both."""
    caplog.set_level("INFO")
    files = world()
    asked = {"svd": "singular values without the title", "other": f" {PASSAGES['mean']}\n"}
    files["queries"] = table("own", "queries", [{"query_id": i, "text": t} for i, t in asked.items()])
    files["query_embeddings"] = str(tmp_path / "own-emb.parquet")
    write_embeddings(files["query_embeddings"], "query_id", list(asked), np.eye(2, 16, dtype=np.float32))
    graded = [(query, doc, grade) for query in asked for doc, grade in (("sort", 2), ("eig", 1), ("fft", 0))]
    rows = [dict(zip(("query_id", "doc_id", "relevance"), row, strict=True)) for row in graded]
    files["qrels"] = table("own-qrels", "qrels", rows)
    names = {name: files[name] for name in ("queries", "qrels", "corpus", "query_embeddings", "embeddings")}
    candidates = None if source == "random" else mine(files, source, 8)
    listed = {(query, doc) for query in asked for doc in PASSAGES}
    if candidates:
        listed = {(row["query_id"], row["doc_id"]) for row in read_rows(candidates, "candidates").to_pylist()}
        assert {("svd", "svd"), ("other", "mean")} <= listed, "they are found, and first"
    own = {("svd", "svd"), ("other", "mean")}
    answers = {(query, doc) for query in asked for doc in ("sort", "sort-again", "eig")}
    usable = listed - own - answers
    options = {"source": source, "candidates": candidates, "seed": 0, "output": files["out"]}
    sample_triples(**names, **options, size=len(usable), relevant_from=relevant_from)
    found = read_rows(files["out"], "triples").to_pylist()
    assert {(row["query_id"], row["negative_id"]) for row in found} == usable
    assert {row["positive_id"] for row in found} <= ({"sort", "eig"} if relevant_from == 1 else {"sort"})
    assert "of 2 training queries 1 have the id of a passage and 1 the text of one" in caplog.text
    with pytest.raises(BackfireError, match=f"give only {len(usable)} "):
        sample_triples(**names, **options, size=len(usable) + 1, relevant_from=relevant_from)


def test_embeddings_of_other_data_are_refused(world):
    files = world()
    files["embeddings"] = files["embeddings"][:1]
    with pytest.raises(BackfireError, match="has no embedding"):
        sample(files, "random", 6)


def several(files, source, size, each, seed=0, **options):
    """Examples of so many negatives, each a list of its rows."""
    candidates = None if source in ("random", "judged") else mine(files, source, 8)
    names = {name: files[name] for name in ("queries", "qrels", "corpus", "query_embeddings", "embeddings")}
    names |= {"source": source, "candidates": candidates, "seed": seed, "output": files["out"]} | options
    sample_triples(**names, size=size, negatives_per_query=each)
    rows = read_rows(files["out"], "triples").to_pylist()
    assert [row["example"] for row in rows] == [place // each for place in range(len(rows))]
    return [rows[start : start + each] for start in range(0, len(rows), each)]


@pytest.mark.parametrize("source", ["random", "bm25", "hard"])
@pytest.mark.parametrize("each", [2, 3])
def test_an_example_has_the_negatives_that_follow_on_one_another(world, source, each):
    """Those that as many examples of one negative have, query by query, in the same order."""
    files = world()
    single = {}
    for (row,) in several(files, source, 9 if source == "bm25" else 18, 1):
        single.setdefault(row["query_id"], []).append(row)
    found = several(files, source, 3, each)
    assert [example[0]["query_id"] for example in found] == list(single), "the order of the queries is the same"
    for example in found:
        assert len({row["query_id"] for row in example}) == len({row["positive_id"] for row in example}) == 1
        expected = single[example[0]["query_id"]][:each]
        assert [row["negative_id"] for row in example] == [row["negative_id"] for row in expected]
        assert [row["rank"] for row in example] == [row["rank"] for row in expected]
        assert example[0]["positive_id"] == expected[0]["positive_id"]
    if source != "bm25":
        (*_, second) = several(files, source, 6, each)
        query = second[0]["query_id"]
        assert [row["negative_id"] for row in second] == [
            row["negative_id"] for row in single[query][each : 2 * each]
        ], "a query's second example goes on where its first one ended"


def test_queries_with_too_few_negatives_give_no_example_and_are_counted(world, table, caplog):
    """q1 has one passage that is judged not relevant, q2 has two and q3 none."""
    files = world()
    judged = [("q2", "svd", 0), ("q2", "mean", 0)]
    rows = [dict(zip(("query_id", "doc_id", "relevance"), row, strict=True)) for row in [*QRELS, *judged]]
    files["qrels"] = table("few", "qrels", rows)
    (example,) = several(files, "judged", None, 2)
    assert {row["query_id"] for row in example} == {"q2"}
    assert {row["negative_id"] for row in example} == {"svd", "mean"}
    assert "2 of 3 training queries have fewer than 2 negative(s); they give no example" in caplog.text
    for size, each, said in (
        (
            2,
            2,
            "2 examples of 2 negatives asked for, .* give only 1 .*; 2 of them have fewer than 2.\nHint: lower size",
        ),
        (
            None,
            3,
            "1 examples of 3 negatives .* give only 0 .*; 3 of them have fewer than 3.\nHint: lower negatives_per",
        ),
    ):
        with pytest.raises(BackfireError, match=said):
            several(files, "judged", size, each)
    with pytest.raises(BackfireError, match="give only 0 .*\nHint: lower negatives_per_query; or raise depth"):
        several(files, "hard", None, 9)


@pytest.fixture
def joined(table, tmp_path):
    """Two collections as one: three training queries of `a`, nine of `b`, each answered by a passage of its own."""
    asked = [*(f"a/{n}" for n in range(3)), *(f"b/{n}" for n in range(9))]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, len(asked), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    files = [str(tmp_path / name) for name in ("queries-emb.parquet", "passages-emb.parquet")]
    write_embeddings(files[0], "query_id", asked, vectors[0])
    write_embeddings(files[1], "doc_id", asked, vectors[1])
    out, manifest = tmp_path / "triples.parquet", tmp_path / "triples.json"

    def sample(size, shares, **settings):
        sample_triples(
            "random",
            None,
            table("queries", "queries", [{"query_id": each, "text": f"what is {each}"} for each in asked]),
            table("qrels", "qrels", [{"query_id": each, "doc_id": each, "relevance": 1} for each in asked]),
            [table("corpus", "corpus", [{"doc_id": each, "text": f"text of {each}"} for each in asked])],
            files[0],
            [files[1]],
            size,
            0,
            str(out),
            manifest=str(manifest),
            shares=shares,
            **settings,
        )
        rows = read_rows(out, "triples").to_pylist()
        return rows, read_json(manifest)

    return sample


@pytest.mark.parametrize(
    ("size", "shares", "of"),
    [
        (8, {"a": 0.25, "b": 0.75}, {"a": 2, "b": 6}),
        # More than one example of each query; a share that is no whole number of examples.
        (12, {"a": 2 / 3, "b": 1 / 3}, {"a": 8, "b": 4}),
        (7, {"a": 0.5, "b": 0.5}, {"a": 4, "b": 3}),
        # What is short gives one of each of its queries, and the other what its share is to that.
        (None, {"a": 0.5, "b": 0.5}, {"a": 3, "b": 3}),
        (None, {"a": 0.1, "b": 0.9}, {"a": 1, "b": 9}),
    ],
)
def test_each_collection_gives_its_share_of_the_examples(joined, size, shares, of):
    rows, manifest = joined(size, shares)
    assert manifest["of"] == of and manifest["examples"] == len(rows) == sum(of.values())
    assert {name: sum(row["query_id"].startswith(f"{name}/") for row in rows) for name in of} == of
    # Each query once before any is taken again.
    for name, queries in (("a", 3), ("b", 9)):
        most = Counter(row["query_id"] for row in rows if row["query_id"].startswith(f"{name}/"))
        assert len(most) == min(of[name], queries) and max(most.values()) - min(most.values()) <= 1


def test_the_queries_of_a_share_are_those_that_come_first_without_shares(joined):
    whole, manifest = joined(None, None)
    assert len(whole) == 12 and "of" not in manifest
    shared, _ = joined(None, {"a": 0.5, "b": 0.5})
    first = [row["query_id"] for row in whole if row["query_id"].startswith("b/")][:3]
    assert [row["query_id"] for row in shared if row["query_id"].startswith("b/")] == first
    assert {row["query_id"]: row["negative_id"] for row in shared}.items() <= {
        row["query_id"]: row["negative_id"] for row in whole
    }.items()


def test_a_share_that_a_collection_cannot_give_is_told_with_what_it_can(joined):
    with pytest.raises(
        BackfireError, match=r"the 3 training queries of a \(its share is 75%\) give only 33 with"
    ) as raised:
        joined(400, {"a": 0.75, "b": 0.25})
    assert "lower size to 44 or less" in str(raised.value)
    joined(44, {"a": 0.75, "b": 0.25})
