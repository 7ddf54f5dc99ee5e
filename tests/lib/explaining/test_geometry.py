"""Embedding statistics against known answers, and against definitions written out pair by pair."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import skew

from backfire.errors import BackfireError
from backfire.explaining import geometry
from backfire.explaining.sampling import sample_embeddings, unit_rows
from backfire.explaining.statistics import STATISTICS
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_sample


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [2, 7, geometry.BLOCK + 3])
def test_uniformity_is_the_definition(count):
    vectors = unit(count, 5, seed=count)
    if count < 100:
        pairs = list(permutations(range(count), 2))
        kernel = sum(math.exp(-2 * ((vectors[i] - vectors[j]) ** 2).sum()) for i, j in pairs) / len(pairs)
    else:
        different = ~np.eye(count, dtype=bool)
        distances = ((vectors[:, None, :] - vectors[None, :, :]) ** 2).sum(axis=2)
        kernel = np.exp(-2 * distances)[different].mean()
    assert geometry.uniformity(vectors) == pytest.approx(math.log(kernel))


def test_a_planted_hub_is_seen_and_what_stands_before_the_answer():
    """One passage is near every query; the answer of each is nearer by 0.1 but for one query."""
    rng = np.random.default_rng(0)
    passages = unit(200, 32, seed=1)
    middle = unit(1, 32, seed=2)[0]
    queries = {
        f"q{row}": vector for row, vector in enumerate(unit_rows(middle + 0.3 * unit(50, 32, seed=3), [""] * 50))
    }
    ids = [f"d{row}" for row in range(200)]
    plain = geometry.query_statistics(queries, [], {}, ids, passages)
    hub = passages.copy()
    hub[7] = middle
    pairs, relevant = [("q1", "d7"), ("q2", "far")], {"d7": middle, "far": unit(1, 32, seed=4)[0]}
    found = geometry.query_statistics(queries, pairs, relevant, ids, hub)
    nearest = np.argsort(-np.stack([queries[name] for name in sorted(queries)]) @ hub.T, axis=1)[:, :10]
    counts = np.bincount(nearest.ravel(), minlength=200)
    assert counts[7] == 50
    assert found["hubness"] == pytest.approx(skew(counts))
    assert found["antihubs"] == pytest.approx((counts == 0).mean())
    spread = {f"q{row}": vector for row, vector in enumerate(unit_rows(rng.normal(size=(50, 32)), [""] * 50))}
    assert geometry.query_statistics(spread, [], {}, ids, passages)["hubness"] < plain["hubness"]
    # The answer of q1 is the hub itself, which is left out; that of q2 lies behind it.
    best = max(queries["q1"] @ passage for row, passage in enumerate(hub) if row != 7)
    margins = [queries["q1"] @ middle - best, queries["q2"] @ relevant["far"] - queries["q2"] @ middle]
    assert found["hardest_margin"] == pytest.approx(np.mean(margins))
    assert plain["hardest_margin"] is None


def test_queries_against_relevant_and_random_passages():
    queries, relevant, passages = unit(4, 6, seed=1), unit(4, 6, seed=2), unit(9, 6, seed=3)
    found = geometry.pair_statistics(queries, relevant, passages)
    cosines = [queries[i] @ relevant[i] for i in range(4)]
    assert found["relevant_cosine"] == pytest.approx(np.mean(cosines))
    assert found["alignment"] == pytest.approx(np.mean([2 - 2 * cosine for cosine in cosines]))
    assert found["random_cosine"] == pytest.approx(np.mean([q @ p for q in queries for p in passages]))
    assert found["margin"] == pytest.approx(found["relevant_cosine"] - found["random_cosine"])


def lengths() -> np.ndarray:
    """Of 300 passages before they were scaled to unit length."""
    return np.random.default_rng(3).uniform(2, 3, size=300)


@pytest.fixture
def corpus(tmp_path):
    """Embeddings of 300 passages and 5 queries, written as 1 shard and as 3 in another order."""
    ids, vectors, norms = [f"d{i}" for i in range(300)], unit(300, 16), lengths()
    write_embeddings(tmp_path / "all.parquet", "doc_id", ids, vectors, norms=norms)
    order = np.random.default_rng(1).permutation(300)
    parts = []
    for number, rows in enumerate(np.array_split(order, 3)):
        parts.append(tmp_path / f"{number}.parquet")
        write_embeddings(parts[-1], "doc_id", [ids[row] for row in rows], vectors[rows], norms=norms[rows])
    write_embeddings(tmp_path / "queries.parquet", "query_id", [f"q{i}" for i in range(5)], unit(5, 16, seed=9))
    judged = [("q0", "d7", 1), ("q1", "d8", 2), ("q1", "d9", 0), ("q2", "gone", 1)]
    rows = [{"query_id": query, "doc_id": doc, "relevance": relevance} for query, doc, relevance in judged]
    write_rows(tmp_path / "qrels.parquet", "qrels", rows)
    return tmp_path, ids, vectors, parts


def measure(folder, shards, output, **changes):
    settings = {"variant": "base", "seed": 0, "collection": "toy", "sample": 100, "sample_seed": 0}
    settings |= {"relevant_from": 1} | changes
    settings |= {"base": changes.get("base", []), "queries": folder / "queries.parquet"}
    geometry.measure_geometry(shards, qrels=folder / "qrels.parquet", output=output, **settings)
    return {row["quantity"]: row for row in read_rows(output, "geometry").to_pylist()}


def test_sample_is_keyed_by_id_not_by_shard_or_order(corpus):
    folder, ids, vectors, parts = corpus
    one, first, _ = sample_embeddings([folder / "all.parquet"], 40, seed=3)
    three, second, _ = sample_embeddings(parts, 40, seed=3)
    assert one == three == keyed_sample(reversed(ids), 40, 3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, vectors[[int(name[1:]) for name in one]], atol=1e-6)
    assert keyed_sample(ids, 20, 3) == one[:20]
    assert keyed_sample(ids, 40, 4) != one


def test_values_are_the_same_for_any_sharding(corpus):
    folder, _, vectors, parts = corpus
    found = measure(folder, [folder / "all.parquet"], folder / "a.parquet")
    sharded = measure(folder, parts, folder / "b.parquet")
    for name, row in found.items():
        assert sharded[name]["value"] == pytest.approx(row["value"], rel=1e-9), name
    assert list(found) == [name for name, each in STATISTICS.items() if not each.against_base]
    assert found["sampled_passages"]["value"] == 100
    # Neither the pair judged irrelevant nor the passage that no shard holds counts.
    assert found["judged_pairs"]["value"] == 2
    queries = unit(5, 16, seed=9)
    expected = (queries[0] @ vectors[7] + queries[1] @ vectors[8]) / 2
    assert found["relevant_cosine"]["value"] == pytest.approx(expected, abs=1e-6)
    # Over all 300, and not the 100 that are sampled.
    assert found["raw_norm"]["value"] == pytest.approx(lengths().mean(), rel=1e-6)
    assert found["raw_norm_variation"]["value"] == pytest.approx(lengths().std() / lengths().mean(), rel=1e-6)
    assert all(row["unit"] == STATISTICS[name].unit for name, row in found.items())


def test_pairs_are_those_from_the_grade_that_counts(corpus):
    folder, _, vectors, parts = corpus
    found = measure(folder, parts, folder / "a.parquet", relevant_from=2)
    assert found["judged_pairs"]["value"] == 1
    assert found["relevant_cosine"]["value"] == pytest.approx(unit(5, 16, seed=9)[1] @ vectors[8], abs=1e-6)
    with pytest.raises(BackfireError, match="none of its 4 judgments is of grade 3 or more") as error:
        measure(folder, parts, folder / "a.parquet", relevant_from=3)
    assert "relevance" in error.value.hint


def test_what_has_not_moved_keeps_its_places_and_what_was_drawn_anew_none(corpus):
    folder, ids, vectors, parts = corpus
    base = [folder / "all.parquet"]
    still = measure(folder, base, folder / "still.parquet", base=base, variant="tuned")
    assert list(still) == list(STATISTICS)
    assert still["cka"]["value"] == pytest.approx(1) and still["procrustes"]["value"] == pytest.approx(0, abs=1e-9)
    assert still["base_cosine"]["value"] == pytest.approx(1, abs=1e-6) and still["neighbours_kept"]["value"] == 1

    # Turned as a whole: far from base vector by vector, and everyone beside the same neighbours.
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))
    write_embeddings(folder / "turned.parquet", "doc_id", ids, vectors @ turn)
    turned = measure(folder, [folder / "turned.parquet"], folder / "t.parquet", base=base, variant="tuned")
    assert abs(turned["base_cosine"]["value"]) < 0.5 and turned["neighbours_kept"]["value"] > 0.99
    assert turned["cka"]["value"] == pytest.approx(1, abs=1e-6)
    assert turned["procrustes"]["value"] == pytest.approx(0, abs=1e-5)

    values = geometry.base_statistics(unit(100, 8, seed=8), unit(100, 16, seed=7))
    assert values["base_cosine"] is None and values["neighbours_kept"] < 0.3


def test_neighbours_are_counted_as_a_sort_counts_them():
    base, moved = unit(40, 5, seed=1), unit(40, 5, seed=1) + 0.2 * unit(40, 5, seed=2)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    kept = 0
    for row in range(40):
        near = [sorted(set(range(40)) - {row}, key=lambda i, v=v: -v[row] @ v[i])[:10] for v in (base, moved)]
        kept += len(set(near[0]) & set(near[1]))
    assert geometry.neighbours_kept(moved, base) == pytest.approx(kept / 400)
    assert geometry.neighbours_kept(moved[:3], base[:3]) == 1


def test_whole_corpus_when_sample_is_larger(corpus):
    folder, _, vectors, parts = corpus
    found = measure(folder, parts, folder / "a.parquet", sample=10**6)
    assert found["sampled_passages"]["value"] == 300
    assert found["mean_cosine"]["value"] == pytest.approx((vectors @ vectors.T).sum() / (300 * 299) - 1 / 299, abs=1e-6)


def test_collected_tables_keep_every_row(corpus):
    folder, _, _, parts = corpus
    measure(folder, parts, folder / "a.parquet")
    measure(folder, parts, folder / "b.parquet", variant="full", seed=2)
    geometry.collect_geometry([folder / "b.parquet", folder / "a.parquet"], folder / "both.parquet")
    table = read_rows(folder / "both.parquet", "geometry").to_pylist()
    each = sum(not statistic.against_base for statistic in STATISTICS.values())
    assert [row["variant"] for row in table] == ["full"] * each + ["base"] * each


def test_judgments_of_another_collection_are_an_error(corpus):
    folder, _, _, parts = corpus
    write_rows(folder / "qrels.parquet", "qrels", [{"query_id": "x", "doc_id": "y", "relevance": 1}])
    with pytest.raises(BackfireError, match="none of its 1 relevant pairs") as error:
        measure(folder, parts, folder / "a.parquet")
    assert "collections" in error.value.hint


def test_vector_of_zeros_is_named():
    with pytest.raises(BackfireError, match="'b' is all zeros"):
        unit_rows(np.array([[1.0, 0.0], [0.0, 0.0]]), ["a", "b"])
