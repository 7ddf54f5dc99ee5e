"""Ranking against brute force in float64."""

import gc
import weakref

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.errors import BackfireError
from backfire.formats.embeddings import write_embeddings
from backfire.formats.trec import read_run
from backfire.retrieval import products
from backfire.retrieval import search as module
from backfire.retrieval.index import build_index, index_shard
from backfire.retrieval.search import Shard, pair_scores, rank, search

CPU = torch.device("cpu")
# By numpy, by torch, and by torch on a GPU where there is one.
DEVICES = [None, CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]


def unit(rng, count, dimensions=32):
    vectors = rng.normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sharded(doc_ids, passages, count, factory="Flat"):
    for rows in np.array_split(np.arange(len(doc_ids)), count):
        part = passages[rows]
        yield Shard([doc_ids[row] for row in rows], part, build_index(part, factory))


def ranked(doc_ids, passages, queries, k, count=1, **options):
    ids = [f"q{row}" for row in range(len(queries))]
    return list(search(ids, queries, sharded(doc_ids, passages, count), k, **options))


def brute_force(doc_ids, passages, queries, k):
    rankings = []
    for row, query in enumerate(queries):
        exact = [np.float32(sum(float(a) * float(b) for a, b in zip(query, p, strict=True))) for p in passages]
        order = sorted(range(len(doc_ids)), key=lambda doc: (-exact[doc], doc_ids[doc]))
        rankings.append((f"q{row}", [(doc_ids[doc], float(exact[doc])) for doc in order[:k]]))
    return rankings


def names(rng, count):
    """Ids whose string order, numeric order and order of appearance all differ."""
    return [str(number) for number in rng.permutation(count * 3)[:count]]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_agrees_with_brute_force_for_any_number_of_shards(count):
    rng = np.random.default_rng(1)
    doc_ids, passages, queries = names(rng, 300), unit(rng, 300), unit(rng, 20)
    found = ranked(doc_ids, passages, queries, 25, count)
    expected = brute_force(doc_ids, passages, queries, 25)
    assert [[doc for doc, _ in ranking] for _, ranking in found] == [
        [doc for doc, _ in ranking] for _, ranking in expected
    ]
    np.testing.assert_allclose(
        [[score for _, score in ranking] for _, ranking in found],
        [[score for _, score in ranking] for _, ranking in expected],
        rtol=0,
        atol=2**-23,
    )


@pytest.mark.parametrize(
    ("block", "piece", "threads", "device"),
    [
        (1, 7, 1, None),
        (5, 64, 3, None),
        (256, 1 << 16, 2, None),
        *((5, 64, 2, device) for device in DEVICES[1:]),
        *((1024, 1 << 16, 2, device) for device in DEVICES[1:]),
    ],
)
def test_shards_their_order_blocks_threads_and_device_change_no_bit(monkeypatch, block, piece, threads, device):
    rng = np.random.default_rng(2)
    doc_ids, passages, queries = names(rng, 900), unit(rng, 900, 384), unit(rng, 12, 384)
    # A quarter of the passages are exact copies, another quarter differ in the last bit only.
    passages[225:450] = passages[:225]
    passages[450:675] = np.nextafter(passages[:225], np.float32(2))
    reference = ranked(doc_ids, passages, queries, 40)
    monkeypatch.setattr(products, "QUERY_BLOCK", block)
    monkeypatch.setattr(products, "GPU_QUERY_BLOCK", block)
    monkeypatch.setattr(products, "PASSAGE_BLOCK", piece)
    for count in (3, 7, 100):
        assert ranked(doc_ids, passages, queries, 40, count, threads=threads, device=device) == reference
    backwards = list(sharded(doc_ids, passages, 7))[::-1]
    assert list(search([q for q, _ in reference], queries, backwards, 40, device=device)) == reference


def test_constant_scorer_ranks_by_doc_id():
    rng = np.random.default_rng(3)
    doc_ids = names(rng, 500)
    passages = np.repeat(unit(rng, 1), 500, axis=0)
    queries = unit(rng, 4)
    for count in (1, 3, 7):
        for _, ranking in ranked(doc_ids, passages, queries, 10, count):
            assert [doc for doc, _ in ranking] == sorted(doc_ids)[:10]
            assert len({score for _, score in ranking}) == 1


@pytest.mark.parametrize("device", DEVICES)
def test_collapsed_space_is_cut_exactly(monkeypatch, device):
    """Scores within float32 noise of each other, where the order of the matrix product is arbitrary."""
    rng = np.random.default_rng(4)
    passages = (unit(rng, 1) + 1e-7 * rng.normal(size=(700, 32))).astype(np.float32)
    doc_ids, queries = names(rng, 700), unit(rng, 6)
    expected = [[doc for doc, _ in r] for _, r in brute_force(doc_ids, passages, queries, 5)]
    monkeypatch.setattr(products, "PASSAGE_BLOCK", 100)
    monkeypatch.setattr(module, "CONVERT_ROWS", 64)
    for count in (1, 4):
        found = ranked(doc_ids, passages, queries, 5, count, device=device)
        assert [[doc for doc, _ in ranking] for _, ranking in found] == expected


small = st.integers(-2, 2)


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_corpus_full_of_ties(device, data):
    dimensions = data.draw(st.integers(1, 4))
    size = data.draw(st.integers(1, 100))
    vector = st.lists(small, min_size=dimensions, max_size=dimensions)
    passages = np.array(data.draw(st.lists(vector, min_size=size, max_size=size)), np.float32)
    queries = np.array(data.draw(st.lists(vector, min_size=1, max_size=3)), np.float32)
    doc_ids = [f"d{row}" for row in data.draw(st.permutations(range(size)))]
    k, count = data.draw(st.integers(1, size)), data.draw(st.integers(1, size))
    assert ranked(doc_ids, passages, queries, k, count, device=device) == brute_force(doc_ids, passages, queries, k)


@pytest.mark.parametrize("device", DEVICES)
def test_whole_corpus_can_be_ranked(device):
    rng = np.random.default_rng(5)
    doc_ids, passages, queries = names(rng, 90), unit(rng, 90), unit(rng, 3)
    for _, ranking in ranked(doc_ids, passages, queries, 90, 7, device=device):
        assert sorted(doc for doc, _ in ranking) == sorted(doc_ids)
        assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)


@pytest.mark.parametrize("device", DEVICES)
def test_deeper_than_the_corpus_is_the_whole_corpus(device, caplog):
    rng = np.random.default_rng(6)
    doc_ids, passages, queries = names(rng, 10), unit(rng, 10), unit(rng, 2)
    with caplog.at_level("INFO", "backfire.retrieval.search"):
        found = ranked(doc_ids, passages, queries, 11, 2, device=device)
    assert found == ranked(doc_ids, passages, queries, 10, 2, device=device)
    assert "11 passages a query are asked for, and there are 10" in caplog.text


def test_score_of_a_pair_does_not_depend_on_its_company():
    rng = np.random.default_rng(7)
    for dimensions in (3, 384, 9001):
        passages, query = unit(rng, 40, dimensions), unit(rng, 1, dimensions)[0]
        together = pair_scores(query, passages, np.arange(40))
        for rows in ([5], [5, 6], [39, 5, 0], list(range(5, 40))):
            np.testing.assert_array_equal(pair_scores(query, passages, np.array(rows)), together[rows])


def test_negative_zero_becomes_zero():
    scores = pair_scores(np.array([-1e-30], np.float32), np.array([[1e-30], [0.0]], np.float32), np.arange(2))
    assert scores.tolist() == [0, 0]
    assert not np.signbit(scores).any()


def test_one_shard_in_memory_at_a_time():
    rng = np.random.default_rng(8)
    alive, most = [], []

    def shards():
        for part in range(4):
            gc.collect()
            most.append(sum(reference() is not None for reference in alive))
            shard = Shard([f"{part}-{row}" for row in range(30)], unit(rng, 30), None)
            shard = Shard(shard.doc_ids, shard.embeddings, build_index(shard.embeddings, "Flat"))
            alive.append(weakref.ref(shard.embeddings))
            yield shard
            del shard

    list(search(["q"], unit(rng, 1), shards(), 5))
    assert most == [0, 0, 0, 0]


def test_approximate_index_is_scored_exactly_and_may_fall_short(caplog):
    rng = np.random.default_rng(9)
    doc_ids, passages, queries = names(rng, 400), unit(rng, 400), unit(rng, 10)
    ids = [f"q{row}" for row in range(10)]
    exact = {query: dict(ranking) for query, ranking in ranked(doc_ids, passages, queries, 400)}
    found = list(search(ids, queries, sharded(doc_ids, passages, 2, "IVF8,Flat"), 150))
    assert all(score == exact[query][doc] for query, ranking in found for doc, score in ranking)
    assert min(len(ranking) for _, ranking in found) < 150
    assert "fewer than 150 passages for 10 of 10 queries" in caplog.text
    # Probing every cluster is exhaustive; the parameter travels with the index.
    thorough = search(ids, queries, sharded(doc_ids, passages, 2, "IVF8,Flat;nprobe=8"), 20)
    assert list(thorough) == ranked(doc_ids, passages, queries, 20)


def test_rejects_vectors_that_do_not_fit():
    rng = np.random.default_rng(10)
    passages, queries = unit(rng, 20), unit(rng, 2)
    doc_ids = names(rng, 20)
    broken = queries.copy()
    broken[1, 3] = np.nan
    with pytest.raises(BackfireError, match="embedding of query 'q1' is not finite"):
        ranked(doc_ids, passages, broken, 5)
    spoiled = passages.copy()
    spoiled[7, 0] = np.inf
    with pytest.raises(BackfireError, match=f"embedding of passage '{doc_ids[7]}' is not finite"):
        ranked(doc_ids, spoiled, queries, 5)
    with pytest.raises(BackfireError, match="passages have 32 dimensions, queries 16"):
        ranked(doc_ids, passages, unit(rng, 1, 16), 5)
    with pytest.raises(BackfireError, match="the index holds 19 of 32"):
        list(search(["q"], queries[:1], [Shard(doc_ids, passages, build_index(passages[:19], "Flat"))], 5))


def test_no_query_gives_an_empty_run():
    rng = np.random.default_rng(11)
    assert ranked(names(rng, 20), unit(rng, 20), np.empty((0, 32), np.float32), 5, 2) == []


def test_rank_writes_the_same_bytes_for_any_number_of_shards(tmp_path):
    rng = np.random.default_rng(12)
    doc_ids, passages, queries = names(rng, 60), unit(rng, 60), unit(rng, 5)
    passages[30:] = passages[:30]
    write_embeddings(tmp_path / "queries.parquet", "query_id", [f"q{row}" for row in range(5)], queries)
    written = set()
    for count in (1, 3):
        vectors, indexes = [], []
        for shard, rows in enumerate(np.array_split(np.arange(60), count)):
            vectors.append(tmp_path / f"{shard}-of-{count}.parquet")
            indexes.append(tmp_path / f"{shard}-of-{count}.faiss")
            write_embeddings(vectors[-1], "doc_id", [doc_ids[row] for row in rows], passages[rows])
            index_shard(vectors[-1], "Flat", indexes[-1])
        rank(tmp_path / "queries.parquet", vectors, indexes, 20, "base-seed-0", tmp_path / f"{count}.trec")
        written.add((tmp_path / f"{count}.trec").read_bytes())
    assert len(written) == 1
    expected = brute_force(doc_ids, passages, queries, 20)
    assert {q: [doc for doc, _ in r] for q, r in read_run(tmp_path / "1.trec").items()} == {
        q: [doc for doc, _ in r] for q, r in expected
    }
    for ranking in read_run(tmp_path / "1.trec").values():
        keys = [(-np.float32(score), doc) for doc, score in ranking]
        assert keys == sorted(keys)


@pytest.mark.parametrize("depth", [1, 20, 99, 500])
def test_a_ranking_without_the_querys_own_id_is_as_deep_as_any(tmp_path, depth, caplog):
    """As brute force ranks all other passages; half of the queries are passages themselves, with noise on one."""
    caplog.set_level("INFO")
    rng = np.random.default_rng(4)
    doc_ids, passages = names(rng, 100), unit(rng, 100)
    queries = np.concatenate([passages[:5], unit(rng, 5)])
    queries[0] = unit(rng, 1)[0]
    ids = [*doc_ids[:5], *(f"q{number}" for number in range(4)), doc_ids[7]]
    write_embeddings(tmp_path / "queries.parquet", "query_id", ids, queries)
    vectors, indexes = [], []
    for number, rows in enumerate(np.array_split(np.arange(100), 3)):
        vectors.append(tmp_path / f"{number}.parquet")
        write_embeddings(vectors[-1], "doc_id", [doc_ids[row] for row in rows], passages[rows])
        indexes.append(tmp_path / f"{number}.faiss")
        index_shard(vectors[-1], "Flat", indexes[-1])
    rank(tmp_path / "queries.parquet", vectors, indexes, depth, "t", tmp_path / "r.trec", drop_own_ids=True)
    found = read_run(tmp_path / "r.trec")
    for query_id, query in zip(ids, queries, strict=True):
        others = [row for row in range(100) if doc_ids[row] != query_id]
        exact = passages[others].astype(np.float64) @ query.astype(np.float64)
        order = sorted(range(len(others)), key=lambda row: (-np.float32(exact[row]), doc_ids[others[row]]))
        assert [doc_id for doc_id, _ in found[query_id]] == [doc_ids[others[row]] for row in order[:depth]]
        assert len(found[query_id]) == min(depth, len(others))
    assert "queries rank a passage with their own id" in caplog.text


def test_an_index_that_was_copied_over_another_is_refused(tmp_path):
    passages = unit(np.random.default_rng(5), 40)
    write_embeddings(tmp_path / "queries.parquet", "query_id", ["q"], passages[:1])
    for shard, rows in enumerate(np.array_split(np.arange(40), 2), start=1):
        write_embeddings(tmp_path / f"{shard}.parquet", "doc_id", [f"d{row}" for row in rows], passages[rows])
        index_shard(tmp_path / f"{shard}.parquet", "Flat", tmp_path / f"{shard}.faiss")
    shards = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    with pytest.raises(BackfireError, match=r"2\.faiss: the index was built from other embeddings"):
        rank(tmp_path / "queries.parquet", shards, [tmp_path / "2.faiss", tmp_path / "1.faiss"], 5, "t", tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("Falt", "could not parse index string Falt"),
        ("", "could not parse index string"),
        ("IVF100,Flat", r"training points \(50\) should be at least as large as number of clusters \(100\)"),
        ("PQ5", "multiple of the number of subquantizers"),
        ("IDMap,Flat", "use add_with_ids"),
        ("Flat;nprobe=2", "could not set parameter nprobe"),
        ("LSH", "METRIC_L2"),
    ],
)
def test_factory_string_that_does_not_fit(factory, reason):
    vectors = unit(np.random.default_rng(13), 50)
    with pytest.raises(BackfireError, match=reason) as caught:
        build_index(vectors, factory, source="1-of-2.parquet")
    assert caught.value.message.startswith("1-of-2.parquet: ")
    assert "/faiss/" not in caught.value.message
    assert "encoding.index" in caught.value.hint


def test_index_holds_the_shard_and_trains_where_needed():
    vectors = unit(np.random.default_rng(14), 400)
    for factory, kind in {"Flat": faiss.IndexFlat, "IVF4,Flat": faiss.IndexIVFFlat, "HNSW8": faiss.IndexHNSW}.items():
        index = build_index(vectors, factory)
        assert isinstance(index, kind)
        assert (index.ntotal, index.d, index.metric_type) == (400, 32, faiss.METRIC_INNER_PRODUCT)
    with pytest.raises(BackfireError, match="nothing to index"):
        build_index(vectors[:0], "Flat")
