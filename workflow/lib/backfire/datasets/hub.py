"""Data sets of the hub as saved data sets: fetched once, whole files of data alone, and no code.

A repository's card says which files make up which subset and split, and `datasets` reads it; what it would need a
script for is refused.
"""

import logging
import re
import tempfile
from pathlib import Path
from typing import Any

from backfire.datasets.sources import hub_parts
from backfire.errors import BackfireError
from backfire.formats.atomic import replacing, write_json

logger = logging.getLogger(__name__)

# Kinds of files that are read, by the names that `datasets` has for them.
KINDS = ("parquet", "json", "csv", "text")
_SUFFIXES = (".parquet", ".json", ".jsonl", ".csv", ".tsv", ".txt")
_PATTERNS = [f"*{suffix}{packed}" for suffix in _SUFFIXES for packed in ("", ".gz") if suffix + packed != ".parquet.gz"]
CARD = "README.md"
_PIECE = re.compile(r"(?P<base>.+)-(?P<number>\d+)-of-(?P<of>\d+)\.")


def fetch_pairs(source: str, output: str, manifest: str) -> None:
    """Fetch the data set `source` (see `sources.hub_parts`) and save it as `datasets.save_to_disk` does.

    A data set with one split is saved without its name, so that its queries are split by their hash. The manifest tells
    id, subset and commit. What was fetched before is taken from the hub's cache, also without a network. Raises
    `BackfireError` where there is nothing of that name, or nothing that is read without code.
    """
    repository, subset, revision = hub_parts(source)
    folder = _fetched(source, repository, revision, [CARD])
    configs = _configs(source, folder)
    subset = _subset(source, subset, list(configs))
    folder = _fetched(source, repository, revision, [CARD, *(configs.get(subset) or _PATTERNS)])
    _check_whole(source, folder)
    place = {"path": str(folder), "name": subset if configs else None}
    place |= {} if configs else {"data_dir": subset}
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    # The library writes its own copy first, which is of no use afterwards.
    with tempfile.TemporaryDirectory(dir=Path(output).parent, prefix=".hub-") as scratch, replacing(output) as rows:
        found = _loaded(source, place | {"cache_dir": scratch})
        splits = {name: len(each) for name, each in found.items()}
        (next(iter(found.values())) if len(found) == 1 else found).save_to_disk(str(rows))
    # The snapshot's folder has the name of its commit.
    noted = {"repository": repository, "subset": subset, "commit": folder.name, "rows": splits}
    logger.info("%s: %s", source, noted)
    write_json(manifest, {"source": source} | noted)


def _fetched(source: str, repository: str, revision: str | None, patterns: list[str]) -> Path:
    """The folder of a snapshot with the files of these patterns."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackfireError(
            f"'{source}' is not in the hub's cache on this machine and could not be fetched ({reason}).",
            "check the name (hf:owner/name, hf:owner/name/subset, each perhaps with @revision); run once where there "
            "is a network, or save the data set with datasets.save_to_disk and give that folder.",
        ) from error


def _check_whole(source: str, folder: Path) -> None:
    """Raise `BackfireError` where numbered files of data are fewer than their names say."""
    there: dict[tuple[Path, str, int], set[int]] = {}
    for file in folder.rglob("*"):
        if piece := _PIECE.match(file.name):
            there.setdefault((file.parent, piece["base"], int(piece["of"])), set()).add(int(piece["number"]))
    for (place, base, count), numbers in there.items():
        if len(numbers) < count:
            begin = place.relative_to(folder) / base
            raise BackfireError(
                f"'{source}': of {count} files {begin}... there are {len(numbers)} in the hub's cache.",
                "the fetch was broken off: run once where there is a network, or delete the data set from the cache.",
            )


def _configs(source: str, folder: Path) -> dict[str, list[str]]:
    """Patterns of the files of each subset that the card names; none where it names none."""
    from huggingface_hub import DatasetCard
    from yaml import YAMLError

    if not (folder / CARD).is_file():
        return {}
    try:
        data: Any = DatasetCard.load(folder / CARD, ignore_metadata_errors=True).data.to_dict()
    except (ValueError, YAMLError):
        # A head that is none; `datasets` tells what it makes of it.
        return {}
    configs = data.get("configs") or []
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        return {}
    return {str(config.get("config_name", "default")): _patterns(source, config) for config in configs}


def _patterns(source: str, config: dict[str, Any]) -> list[str]:
    """What the client is to fetch for a subset of a card: its files, by patterns in which a star stands for folders.

    The library's own patterns say more; where one cannot be said so, all files of data are fetched. Raises
    `BackfireError` for a path that is not in the data set.
    """
    files = config.get("data_files") or []
    named = files if isinstance(files, list) else [files]
    paths: list[str] = []
    for each in named:
        listed = each.get("path") if isinstance(each, dict) else each
        paths += map(str, listed if isinstance(listed, list) else [listed])
    place = str(config.get("data_dir") or "").strip("/")
    for path in [*paths, place]:
        if path.startswith("/") or "://" in path or ".." in path.split("/"):
            raise BackfireError(
                f"'{source}': its card names the file '{path}', which is not in the data set.",
                "choose another data set, or write its rows to a file of pairs.",
            )
    if not paths:
        return [f"{place}/*"] if place else []
    found = [path.removeprefix("./").replace("**/", "").replace("**", "*") for path in paths]
    if any("{" in path or not ("*" in path or path.endswith((*_SUFFIXES, ".gz"))) for path in found):
        return []
    return [f"{place}/{path}" if place else path for path in found]


def _subset(source: str, subset: str | None, known: list[str]) -> str | None:
    """The subset that is read: the one that is named, or the only or default one of the card."""
    if subset is None and len(known) > 1 and "default" not in known:
        raise BackfireError(
            f"'{source}' has the subsets {', '.join(known)}.", f"name one of them, as {source}/{known[0]}."
        )
    if subset is not None and known and subset not in known:
        raise BackfireError(f"'{source}' has no subset '{subset}'.", f"it has {', '.join(known)}.")
    return subset or ("default" if "default" in known else next(iter(known), None))


def _loaded(source: str, place: dict[str, Any]) -> Any:
    """The splits of a data set, by their names; `place` says where `datasets` finds it."""
    from datasets import load_dataset, load_dataset_builder

    try:
        builder = load_dataset_builder(**place)
        kind = type(builder).__module__.split(".")[-1]
        if kind not in KINDS or not type(builder).__module__.startswith("datasets.packaged_modules."):
            raise BackfireError(
                f"'{source}' is of the kind '{kind}'; read are files of the kinds {', '.join(KINDS)}.",
                "choose a data set of texts, or write its rows to a file of pairs.",
            )
        return load_dataset(**place)
    except BackfireError:
        raise
    except Exception as error:
        # Whatever the library and its readers raise for files that do not fit together.
        # What a reader said stands behind what the library says.
        cause = error.__cause__ or error
        reason = next(iter(str(cause).strip().splitlines()), "")[:300]
        raise BackfireError(
            f"'{source}' cannot be read as a data set ({type(cause).__name__}: {reason}).",
            "where the hub's cache on this machine lacks files, run once where there is a network; else name a subset "
            "(hf:owner/name/subset) or another revision, or write its rows to a file of pairs.",
        ) from error
