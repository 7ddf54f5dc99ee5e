"""Room: what a study still needs on each file system against what is free there."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from backfire.errors import BackfireError
from backfire.planning.sizes import Stage

REMEDY = {
    "work": "run in a folder on a larger disk (snakemake --directory)",
    "ir_datasets": "set IR_DATASETS_HOME to a folder on a larger disk",
    "tmp": "set IR_DATASETS_TMP to a folder on a larger disk",
}

# A stage is done when this much of what was expected is there, for sizes are estimates.
DONE = 0.5


@dataclass(frozen=True)
class FileSystem:
    """A file system that a study writes to: the places that are on it, {name: folder}, and its free bytes."""

    places: dict[str, str]
    free: int


@dataclass(frozen=True)
class Demand:
    """A stage with what of it is there already: bytes that stay, and bytes that pass."""

    stage: Stage
    there: int
    passing_there: int = 0

    @property
    def more(self) -> int:
        """Bytes that it will still add to the disk; what passes is not needed again once the rest is there."""
        done = self.stage.bytes and self.there >= DONE * self.stage.bytes
        passing = 0 if done else max(0, self.stage.passing - self.passing_there)
        return max(0, self.stage.bytes - self.there) + passing


def file_systems(places: dict[str, Path]) -> list[FileSystem]:
    """The file systems of some folders, which need not exist yet, with what is free on each now."""
    grouped: dict[int, dict[str, Path]] = {}
    for name, folder in places.items():
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        grouped.setdefault(there.stat().st_dev, {})[name] = there
    return [
        FileSystem(
            {name: str(places[name].absolute()) for name in group}, shutil.disk_usage(next(iter(group.values()))).free
        )
        for group in grouped.values()
    ]


def disk_usage(patterns: tuple[str, ...], root: Path) -> int:
    """Bytes of the files under `patterns`, folders or files relative to `root`; a hard link counts once.

    A pattern that ends in `*` means files alone.
    """
    sizes: dict[tuple[int, int], int] = {}
    for pattern in patterns:
        for found in root.glob(pattern):
            files = [found] if found.is_file() else ([] if pattern.endswith("*") else found.rglob("*"))
            for file in files:
                if file.is_file():
                    status = file.lstat()
                    sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def check_room(demands: list[Demand], systems: list[FileSystem]) -> None:
    """Raise `BackfireError` when the stages need more than is free on one of the file systems."""
    for system in systems:
        here = [demand for demand in demands if demand.stage.place in system.places and demand.more]
        needed = sum(demand.more for demand in here)
        if needed > system.free:
            biggest = sorted(here, key=lambda demand: demand.more, reverse=True)[:3]
            listed = ", ".join(f"{demand.stage.name} {size(demand.more)}" for demand in biggest)
            remedies = "; ".join(REMEDY[place] for place in dict.fromkeys(demand.stage.place for demand in biggest))
            raise BackfireError(
                f"not enough disk on the file system of {', '.join(system.places.values())}: the study needs "
                f"{size(needed)} more there, {size(system.free)} are free. Most goes to {listed}.",
                f"{remedies}; or take fewer variants, seeds or protocol choices, or set a collection's size. "
                "Nothing was downloaded.",
            )


def size(count: float) -> str:
    """Bytes in words: 12 GB, 3.4 GB, 870 MB; decimal units, two digits at least."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    return f"{count:.0f} B"
