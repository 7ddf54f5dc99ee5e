"""Embedding statistics against known answers, and against definitions written out pair by pair."""

import math
from itertools import permutations

import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.explaining import geometry
from backfire.explaining.sampling import sample_embeddings, unit_rows
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_sample


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_orthonormal_basis():
    found = geometry.passage_statistics(np.eye(8))
    # The covariance of the n corners of a simplex has n - 1 equal eigenvalues.
    assert found["mean_cosine"] == pytest.approx(0, abs=1e-12)
    assert found["participation_ratio"] == pytest.approx(7)
    assert found["effective_rank"] == pytest.approx(7)
    assert found["uniformity"] == pytest.approx(-4)


def test_identical_vectors_have_no_spectrum():
    found = geometry.passage_statistics(np.tile(unit(1, 16), (50, 1)))
    assert found["mean_cosine"] == pytest.approx(1)
    assert found["uniformity"] == pytest.approx(0, abs=1e-9)
    assert found["participation_ratio"] is None and found["effective_rank"] is None


def test_two_opposite_vectors():
    found = geometry.passage_statistics(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert found["mean_cosine"] == pytest.approx(-1)
    assert found["participation_ratio"] == pytest.approx(1)
    assert found["effective_rank"] == pytest.approx(1)
    assert found["uniformity"] == pytest.approx(-8)


def test_isotropic_gaussian_directions_fill_the_space():
    found = geometry.passage_statistics(unit(6000, 12))
    assert found["mean_cosine"] == pytest.approx(0, abs=2e-3)
    assert found["participation_ratio"] == pytest.approx(12, rel=0.01)
    assert found["effective_rank"] == pytest.approx(12, rel=0.01)


def test_spectrum_is_that_of_the_covariance_matrix():
    vectors = unit(300, 10) * np.linspace(1, 3, 10)
    expected = np.linalg.eigvalsh(np.cov(vectors.T, bias=True))[::-1]
    np.testing.assert_allclose(geometry.spectrum(vectors), expected, rtol=1e-9)


def test_two_unequal_directions_have_the_textbook_entropy():
    eigenvalues = np.array([3.0, 1.0, 0.0])
    assert geometry.participation_ratio(eigenvalues) == pytest.approx(16 / 10)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert geometry.effective_rank(eigenvalues) == pytest.approx(math.exp(entropy))


@pytest.mark.parametrize("count", [2, 7, geometry.BLOCK + 3])
def test_pairs_match_the_definition(count):
    vectors = unit(count, 5, seed=count)
    if count < 100:
        pairs = list(permutations(range(count), 2))
        cosine = sum(vectors[i] @ vectors[j] for i, j in pairs) / len(pairs)
        kernel = sum(math.exp(-2 * ((vectors[i] - vectors[j]) ** 2).sum()) for i, j in pairs) / len(pairs)
    else:
        different = ~np.eye(count, dtype=bool)
        cosine = (vectors @ vectors.T)[different].mean()
        distances = ((vectors[:, None, :] - vectors[None, :, :]) ** 2).sum(axis=2)
        kernel = np.exp(-2 * distances)[different].mean()
    assert geometry.mean_cosine(vectors) == pytest.approx(cosine, abs=1e-12)
    assert geometry.uniformity(vectors) == pytest.approx(math.log(kernel))


def test_queries_against_relevant_and_random_passages():
    queries, relevant, passages = unit(4, 6, seed=1), unit(4, 6, seed=2), unit(9, 6, seed=3)
    found = geometry.pair_statistics(queries, relevant, passages)
    cosines = [queries[i] @ relevant[i] for i in range(4)]
    assert found["relevant_cosine"] == pytest.approx(np.mean(cosines))
    assert found["alignment"] == pytest.approx(np.mean([2 - 2 * cosine for cosine in cosines]))
    assert found["random_cosine"] == pytest.approx(np.mean([q @ p for q in queries for p in passages]))
    assert found["margin"] == pytest.approx(found["relevant_cosine"] - found["random_cosine"])


@pytest.fixture
def corpus(tmp_path):
    """Embeddings of 300 passages and 5 queries, written as 1 shard and as 3 in another order."""
    ids, vectors = [f"d{i}" for i in range(300)], unit(300, 16)
    write_embeddings(tmp_path / "all.parquet", "doc_id", ids, vectors)
    order = np.random.default_rng(1).permutation(300)
    parts = []
    for number, rows in enumerate(np.array_split(order, 3)):
        parts.append(tmp_path / f"{number}.parquet")
        write_embeddings(parts[-1], "doc_id", [ids[row] for row in rows], vectors[rows])
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


def test_table_is_the_same_bytes_for_any_sharding(corpus):
    folder, _, vectors, parts = corpus
    found = measure(folder, [folder / "all.parquet"], folder / "a.parquet")
    measure(folder, parts, folder / "b.parquet")
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()
    assert list(found) == [name for name in geometry.UNITS if name not in geometry.AGAINST_BASE]
    assert found["sampled_passages"]["value"] == 100
    # Neither the pair judged irrelevant nor the passage that no shard holds counts.
    assert found["judged_pairs"]["value"] == 2
    queries = unit(5, 16, seed=9)
    expected = (queries[0] @ vectors[7] + queries[1] @ vectors[8]) / 2
    assert found["relevant_cosine"]["value"] == pytest.approx(expected, abs=1e-6)
    assert all(row["unit"] == geometry.UNITS[name] for name, row in found.items())


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
    still = measure(folder, parts, folder / "still.parquet", base=base, variant="tuned")
    assert list(still) == list(geometry.UNITS)
    assert still["base_cosine"]["value"] == pytest.approx(1, abs=1e-6) and still["neighbours_kept"]["value"] == 1

    # Turned as a whole: far from base vector by vector, and everyone beside the same neighbours.
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))
    write_embeddings(folder / "turned.parquet", "doc_id", ids, vectors @ turn)
    turned = measure(folder, [folder / "turned.parquet"], folder / "t.parquet", base=base, variant="tuned")
    assert abs(turned["base_cosine"]["value"]) < 0.5 and turned["neighbours_kept"]["value"] > 0.99

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
    assert found["mean_cosine"]["value"] == pytest.approx(geometry.mean_cosine(vectors), abs=1e-6)


def test_collected_tables_keep_every_row(corpus):
    folder, _, _, parts = corpus
    measure(folder, parts, folder / "a.parquet")
    measure(folder, parts, folder / "b.parquet", variant="full", seed=2)
    geometry.collect_geometry([folder / "b.parquet", folder / "a.parquet"], folder / "both.parquet")
    table = read_rows(folder / "both.parquet", "geometry").to_pylist()
    each = len(geometry.UNITS) - len(geometry.AGAINST_BASE)
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
