"""The shared map: same bytes twice, same passages for every model, no drift where nothing moved."""

import logging

import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.explaining.projection import project_embeddings
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import read_rows
from backfire.keyed import keyed_sample
from backfire.report.maps import maps_told

IDS = [f"d{number}" for number in range(150)]
QUERIES = [f"q{number}" for number in range(12)]


def vectors(seed: int, shift: float = 0.0) -> np.ndarray:
    """Three clusters of unit vectors in 8 dimensions; `shift` turns each of them by a little noise."""
    centres = np.eye(8)[[0, 3, 6]]
    points = centres[np.arange(len(IDS) + len(QUERIES)) % 3] + 0.2 * np.random.default_rng(seed).normal(size=(162, 8))
    points += shift * np.random.default_rng(seed + 1).normal(size=points.shape)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def model(folder, name: str, points: np.ndarray, ids=IDS):
    files = [folder / f"{name}-{half}.parquet" for half in (1, 2)]
    middle = len(ids) // 2
    write_embeddings(files[0], "doc_id", ids[:middle], points[:middle])
    write_embeddings(files[1], "doc_id", ids[middle:], points[middle : len(ids)])
    write_embeddings(folder / f"{name}-queries.parquet", "query_id", QUERIES, points[-len(QUERIES) :])
    return files, folder / f"{name}-queries.parquet"


def project(output, **models):
    settings = {"passages": 60, "sampled_queries": 5, "neighbors": 8, "min_dist": 0.1, "seed": 0, "seeds": 1}
    settings |= models.pop("settings", {})
    project_embeddings(
        [(name, number) for number, name in enumerate(models)],
        settings.pop("maps", [next(iter(models))] * len(models)),
        [files for files, _ in models.values()],
        [queries for _, queries in models.values()],
        output=output,
        quality=output.with_suffix(".maps"),
        **settings,
    )
    return read_rows(output, "projection").to_pylist()


def points_of(rows: list[dict], variant: str) -> np.ndarray:
    return np.array([(row["x"], row["y"]) for row in rows if row["variant"] == variant])


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    models = {
        "base": model(folder, "base", vectors(0)),
        "same": model(folder, "same", vectors(0)),
        "moved": model(folder, "moved", vectors(0, shift=0.3)),
    }
    return folder, models, project(folder / "first.parquet", **models)


def test_twice_the_same_bytes(maps):
    folder, models, _ = maps
    project(folder / "second.parquet", **models)
    assert (folder / "first.parquet").read_bytes() == (folder / "second.parquet").read_bytes()


def test_what_is_compiled_is_kept_for_other_processes(maps):
    from umap import layouts, umap_

    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths, layouts.clip):
        assert function.stats.cache_path


def test_every_model_shows_the_same_keyed_passages_and_queries(maps):
    _, models, rows = maps
    for number, name in enumerate(models):
        of = [row for row in rows if row["variant"] == name]
        assert {row["seed"] for row in of} == {number}
        assert [row["id"] for row in of if row["kind"] == "passage"] == keyed_sample(IDS, 60, 0)
        assert [row["id"] for row in of if row["kind"] == "query"] == keyed_sample(QUERIES, 5, 0)


def test_a_model_that_moved_nothing_has_no_drift(maps):
    _, _, rows = maps
    np.testing.assert_array_equal(points_of(rows, "base"), points_of(rows, "same"))
    assert np.abs(points_of(rows, "base") - points_of(rows, "moved")).max() > 0.1


def test_clusters_stay_apart_on_the_map(maps):
    _, _, rows = maps
    points = points_of(rows, "base")
    cluster = np.array(
        [int(row["id"][1:]) % 3 for row in rows if row["variant"] == "base" and row["kind"] == "passage"]
    )
    centres = np.array([points[:60][cluster == number].mean(axis=0) for number in range(3)])
    nearest = np.linalg.norm(points[:60, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == cluster).mean() > 0.95


def test_few_passages_lower_the_neighbours(tmp_path, caplog):
    points = vectors(2)
    short = model(tmp_path, "short", np.concatenate([points[:12], points[-12:]]), IDS[:12])
    with caplog.at_level(logging.WARNING):
        rows = project(tmp_path / "map.parquet", base=short, settings={"neighbors": 15})
    assert "lowered to 11" in caplog.text
    assert len(rows) == 12 + 5 and np.isfinite(points_of(rows, "base")).all()


def test_a_map_without_queries(tmp_path):
    rows = project(tmp_path / "map.parquet", base=model(tmp_path, "base", vectors(0)), settings={"sampled_queries": 0})
    assert {row["kind"] for row in rows} == {"passage"}


def test_too_few_passages_are_an_error(tmp_path):
    points = vectors(2)
    tiny = model(tmp_path, "tiny", np.concatenate([points[:6], points[-12:]]), IDS[:6])
    with pytest.raises(BackfireError, match="6 passages") as error:
        project(tmp_path / "map.parquet", base=tiny)
    assert "projection.passages" in error.value.hint


def test_another_corpus_is_an_error(tmp_path):
    base = model(tmp_path, "base", vectors(0))
    other = model(tmp_path, "other", vectors(0), [f"x{name}" for name in IDS])
    with pytest.raises(BackfireError, match="variant 'other' are not those of 'base'"):
        project(tmp_path / "map.parquet", base=base, other=other)


def test_a_model_of_another_origin_has_a_map_of_its_own(maps, tmp_path):
    """Also one whose vectors have another length; what is placed on base's map stays where it was."""
    folder, models, alone = maps
    wide = np.concatenate([vectors(7), vectors(8)], axis=1)
    foreign = model(tmp_path, "foreign", wide / np.linalg.norm(wide, axis=1, keepdims=True))
    own = {"maps": ["base", "base", "foreign", "foreign"]}
    together = {"base": models["base"], "moved": models["moved"], "foreign": foreign, "again": foreign}
    rows = project(tmp_path / "maps.parquet", **together, settings=own)
    for name in ("base", "moved"):
        np.testing.assert_array_equal(points_of(rows, name), points_of(alone, name))
    np.testing.assert_array_equal(points_of(rows, "again"), points_of(rows, "foreign"))
    assert [row["id"] for row in rows if row["variant"] == "foreign"] == [
        row["id"] for row in rows if row["variant"] == "base"
    ]


def test_what_a_map_is_worth_is_told_for_several_seeds(maps, tmp_path):
    """Against the definitions: ranks of neighbours in the space, and distances on the map that is written."""
    _, models, first = maps
    rows = project(tmp_path / "more.parquet", **models, settings={"seeds": 3})
    assert rows == first, "the map that is shown is that of the first seed"
    worth = read_rows(tmp_path / "more.maps", "maps").to_pylist()
    assert {(row["variant"], row["map_seed"]) for row in worth} == {
        (name, seed) for name in models for seed in (0, 1, 2)
    }
    found = {row["variant"]: row for row in worth if row["map_seed"] == 0}
    base, moved = (points_of(rows, name)[:60] for name in ("base", "moved"))
    size = np.sqrt(np.mean(np.sum((base - base.mean(axis=0)) ** 2, axis=1)))
    assert found["moved"]["drift"] == pytest.approx(np.median(np.linalg.norm(moved - base, axis=1)) / size, rel=1e-5)
    assert found["base"]["drift"] == found["same"]["drift"] == 0
    ids = [row["id"] for row in rows if row["variant"] == "base" and row["kind"] == "passage"]
    space = vectors(0)[[int(name[1:]) for name in ids]]
    assert found["base"]["trustworthiness"] == pytest.approx(trustworthiness(space, base, 10), abs=1e-6)
    assert found["base"]["trustworthiness"] > 0.7
    assert all(row["noise"] == found["base"]["noise"] for row in worth if row["map_seed"] == 0)


def test_of_a_collapsed_space_nothing_is_said(tmp_path):
    one = np.tile(np.eye(8)[0], (len(IDS) + len(QUERIES), 1))
    project(tmp_path / "a.parquet", base=model(tmp_path, "base", vectors(0)), gone=model(tmp_path, "gone", one))
    found = {row["variant"]: row for row in read_rows(tmp_path / "a.maps", "maps").to_pylist()}
    assert found["gone"]["trustworthiness"] is None and found["gone"]["drift"] > 0.3
    assert found["base"]["trustworthiness"] > 0.7
    project(tmp_path / "b.parquet", base=model(tmp_path, "one", one))
    assert read_rows(tmp_path / "b.maps", "maps").to_pylist() == [
        {"variant": "base", "seed": 0, "map_seed": 0, "trustworthiness": None, "drift": None, "noise": None}
    ]
    assert maps_told(tmp_path / "b.maps", ["base"], {"base": "base"}) == []


def trustworthiness(space, places, k):
    """Venna and Kaski (2001), equation 2: what comes among the neighbours on the map, by its rank in the space."""
    apart, near = 1 - space @ space.T, np.linalg.norm(places[:, None] - places[None], axis=2)
    penalty, n = 0, len(space)
    for row in range(n):
        others = np.delete(np.arange(n), row)
        order = others[np.argsort(apart[row, others], kind="stable")]
        for neighbour in others[np.argsort(near[row, others], kind="stable")][:k]:
            penalty += max(0, int(np.flatnonzero(order == neighbour)[0]) + 1 - k)
    return 1 - 2 * penalty / (n * k * (2 * n - 3 * k - 1))
