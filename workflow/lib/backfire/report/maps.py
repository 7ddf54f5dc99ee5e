"""What the maps are worth: sentences from the table `maps`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from backfire.formats.tables import read_rows
from backfire.report.numbers import count, names, plain

# A drift that is not this many times the noise is not told from it by eye.
CLEAR = 2.0


def maps_told(path: str | Path, variants: Iterable[str], fitted: Mapping[str, str]) -> list[str]:
    """How many neighbours the maps keep, and whose drift is more than what placing makes of nothing.

    `fitted` names for each variant the one that its map was fitted on. Numbers are means over the seeds of UMAP, the
    lowest and the highest of them where they are of trustworthiness.
    """
    rows = read_rows(path, "maps").to_pylist()
    seeds = len({row["map_seed"] for row in rows})
    kept = [row["trustworthiness"] for row in rows if row["trustworthiness"] is not None]
    told = []
    if kept:
        told.append(
            f"Over {count(seeds, 'seed')} of UMAP the trustworthiness of these maps is {plain(min(kept), 2)} to "
            f"{plain(max(kept), 2)} (1: neighbours on the map are neighbours in the space; 0.5: a map drawn at random)."
        )
    drift, noise = (
        {n: _mean(rows, n, column) for n in variants if n != fitted.get(n)} for column in ("drift", "noise")
    )
    drift = {name: value for name, value in drift.items() if value is not None and noise[name] is not None}
    if drift:
        level = max(value for name, value in noise.items() if name in drift)
        clear = [name for name, value in drift.items() if value >= CLEAR * noise[name]]
        unclear = [name for name in drift if name not in clear]
        each = names(f"{name} {plain(value, 2)}" for name, value in drift.items())
        text = (
            f"A passage whose vector has turned by next to nothing (cosine 0.999998) is placed {plain(level, 2)} of "
            f"the map's size from where it was (median); by the variants: {each}."
        )
        if unclear:
            text += f" So the lines of {names(unclear)} are less than twice as long as the method's own noise."
        told.append(text)
    return told


def _mean(rows: list[dict], name: str, column: str) -> float | None:
    values = [row[column] for row in rows if row["variant"] == name and row[column] is not None]
    return sum(values) / len(values) if values else None
