"""One map for all variants of a base: UMAP is fitted once, on the base, and all that grew out of it are placed there.

A map fitted per variant would differ by chance alone (rotation, flips, clusters that move), so none of what
the eye compares across panels could be trusted. The vectors of a model of another origin have nothing in common with
the base's, so it is fitted a map of its own, which compares with its descendants alone.

Placing is noisy too: UMAP moves a point whose vector has turned by next to nothing nearly as far as one that training
has moved. So beside the map stands what it is worth: how many neighbours it keeps (trustworthiness), and how far points
drift for no reason at all, each over several seeds of UMAP.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backfire.errors import BackfireError
from backfire.explaining.sampling import sample_embeddings, unit_rows
from backfire.explaining.statistics import NEIGHBOURS
from backfire.formats.embeddings import read_embedding_ids, read_vectors
from backfire.formats.tables import write_rows
from backfire.keyed import keyed_rng, keyed_sample

log = logging.getLogger(__name__)

FEWEST_PASSAGES = 10
# How far a vector of unit length is moved, in a direction drawn anew for each, to see what a map makes of nothing: its
# cosine to where it was is 0.999998. From 2e-4 to 0.2 UMAP moves a point as far, some 0.09 of the map's size on
# documentation of Python; by less than 2e-5 most points do not move at all.
NOISE = 2e-3


def project_embeddings(
    models: list[tuple[str, int]],
    maps: list[str],
    shards: list[list[str | Path]],
    queries: list[str | Path],
    passages: int,
    sampled_queries: int,
    neighbors: int,
    min_dist: float,
    seed: int,
    seeds: int,
    output: str | Path,
    quality: str | Path,
) -> None:
    """Write the table `projection`: where each of `models`, (variant, seed), puts the same texts; and `maps`.

    The map that is shown is that of `seed`; the table `maps` (`quality`) tells of the maps of so many `seeds` from that
    one on what each is worth (see `map_quality`).

    `shards` and `queries` hold, for each model, its passage embeddings and its query embeddings; `maps` names for each
    the variant, one of `models`, that its map is fitted on. Passages and queries are keyed samples. Raises
    `BackfireError` when there are fewer than ten passages, or when the models do not hold the same ids.
    """
    ids = sample_embeddings(shards[0], passages, seed)[0]
    place_of = {variant: number for number, (variant, _) in enumerate(models)}
    query_ids = keyed_sample(read_embedding_ids(queries[0], "query_id"), sampled_queries, seed)
    fitted = {}
    for name in dict.fromkeys(maps):
        own = sample_embeddings(shards[place_of[name]], passages, seed)[1]
        asked = _query_vectors(queries[place_of[name]], query_ids)
        fitted[name] = [_Map.fit(own, asked, neighbors, min_dist, seed + more) for more in range(seeds)]
    rows: list[dict] = []
    worth: list[dict] = []
    for (variant, run), fitted_on, files, query_file in zip(models, maps, shards, queries, strict=True):
        found, vectors, _ = sample_embeddings(files, passages, seed)
        if found != ids:
            raise BackfireError(
                f"{files[0]}: the passages of variant '{variant}' are not those of '{models[0][0]}'.",
                "delete the embeddings of this variant and run again; they were made from another corpus.",
            )
        asked = _query_vectors(query_file, query_ids)
        places = [place(each.reducer, np.concatenate([vectors, asked])) for each in fitted[fitted_on]]
        for more, (each, points) in enumerate(zip(fitted[fitted_on], places, strict=True)):
            row = {"variant": variant, "seed": run, "map_seed": seed + more}
            worth.append(row | map_quality(each, vectors, points[: len(ids)]))
        log.info("placed %d passages and %d queries of %s seed %d", len(ids), len(query_ids), variant, run)
        rows.extend(
            {"variant": variant, "seed": run, "kind": kind, "id": identifier, "x": float(x), "y": float(y)}
            for (kind, identifier), (x, y) in zip(_labels(ids, query_ids), places[0], strict=True)
        )
    write_rows(output, "projection", rows)
    write_rows(quality, "maps", worth)


class _Map(NamedTuple):
    """A fitted map, where it places the passages that it was fitted on, and how far that is after a tiny change."""

    reducer: Any
    places: np.ndarray
    noise: float | None
    """None where the passages are all at one place in the space, so that there is nothing to map."""

    @classmethod
    def fit(cls, passages: np.ndarray, queries: np.ndarray, neighbors: int, min_dist: float, seed: int) -> "_Map":
        # Where UMAP places a point depends on what else is placed with it, so all are placed alike.
        reducer, together = fit_map(passages, neighbors, min_dist, seed), np.concatenate([passages, queries])
        directions = keyed_rng("map noise", seed).standard_normal(together.shape)
        shaken = together + NOISE * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        places, again = (place(reducer, each)[: len(passages)] for each in (together, shaken))
        return cls(reducer, places, _drift(places, again) if _spreads(passages) else None)


def map_quality(fitted: _Map, vectors: np.ndarray, places: np.ndarray) -> dict[str, float | None]:
    """What a map is worth for the `vectors` (passages, dimensions) that it has put at `places` (passages, 2).

    `trustworthiness` (Venna and Kaski 2001), by scikit-learn: 1 where the ten neighbours of every passage on the map
    are near it in the space (by cosine), some 0.5 for a map drawn at random; None for too few passages. `drift`: the
    median distance of a passage from where the model that the map was fitted on has it, as a share of the map's size
    (the root mean square distance from its middle); `noise`: the same for that model itself, its vectors moved by
    `NOISE`. Both None where the map was fitted on passages at one place.
    """
    from sklearn.manifold import trustworthiness

    neighbours = min(NEIGHBOURS, (len(vectors) - 1) // 2 - 1)
    known = neighbours > 0 and _spreads(vectors)
    kept = trustworthiness(vectors, places, n_neighbors=neighbours, metric="cosine") if known else None
    drift = None if fitted.noise is None else _drift(fitted.places, places)
    return {"trustworthiness": kept, "drift": drift, "noise": fitted.noise}


def _spreads(vectors: np.ndarray) -> bool:
    """Whether unit vectors are not all one and the same, as those of a model whose space has collapsed are."""
    return bool(np.ptp(vectors, axis=0).max() > 1e-6)


def _drift(before: np.ndarray, after: np.ndarray) -> float:
    size = float(np.sqrt(np.mean(np.sum((before - before.mean(axis=0)) ** 2, axis=1))))
    return float(np.median(np.linalg.norm(after - before, axis=1))) / size if size else 0.0


def fit_map(passages: np.ndarray, neighbors: int, min_dist: float, seed: int):
    """Fit UMAP (McInnes et al. 2018, arXiv 1802.03426) by cosine on passages (passages, dimensions).

    Single-threaded with a fixed seed, so that the same vectors give the same map. With no more passages than
    `neighbors`, as many neighbours are used as there are. Raises `BackfireError` for fewer than ten passages.
    """
    from umap import UMAP

    _keep_compiled()
    if len(passages) < FEWEST_PASSAGES:
        raise BackfireError(
            f"projection: {len(passages)} passages, expected at least {FEWEST_PASSAGES} to draw a map.",
            "raise projection.passages, or use a larger collection.",
        )
    if neighbors >= len(passages):
        log.warning("projection.neighbors %d lowered to %d, one less than the passages", neighbors, len(passages) - 1)
        neighbors = len(passages) - 1
    reducer = UMAP(n_neighbors=neighbors, min_dist=min_dist, metric="cosine", random_state=seed, n_jobs=1)
    return reducer.fit(passages.astype(np.float32))


def _keep_compiled() -> None:
    """Have numba keep on disk what it compiles of UMAP, as that of pynndescent is: else each process compiles anew."""
    from umap import distances, layouts, umap_, utils

    for module in (distances, layouts, umap_, utils):
        for function in vars(module).values():
            # Where there is no folder to keep it in, numba says so by a RuntimeError.
            with suppress(RuntimeError):
                if hasattr(function, "enable_caching") and function.__module__ == module.__name__:
                    function.enable_caching()


def place(reducer, vectors: np.ndarray) -> np.ndarray:
    """Coordinates (vectors, 2) on a fitted map.

    The model that the map was fitted on is placed in this way too, rather than at the coordinates of the fit: then a
    model that moves no vector moves no point. One that moves them by next to nothing does move points (see `noise`).
    """
    return np.asarray(reducer.transform(vectors.astype(np.float32)))


def _query_vectors(path: str | Path, wanted: list[str]) -> np.ndarray:
    ids, matrix = read_vectors(path, "query_id")
    row = {identifier: number for number, identifier in enumerate(ids)}
    missing = [identifier for identifier in wanted if identifier not in row]
    if missing:
        raise BackfireError(
            f"{path}: query '{missing[0]}' has no embedding.",
            "delete the file and run again; it was made from another query set.",
        )
    return unit_rows(matrix[[row[identifier] for identifier in wanted]], wanted)


def _labels(passages: Iterable[str], queries: Iterable[str]) -> list[tuple[str, str]]:
    return [*(("passage", name) for name in passages), *(("query", name) for name in queries)]
