"""What a study takes from the network, and the disk that `ir_datasets` needs for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ir_datasets
from ir_datasets.util import Download

from backfire.datasets.downloads import KEEPERS, Missing, lacking
from backfire.datasets.handlers import sources_beneath
from backfire.datasets.wording import PUBLISHED
from backfire.planning.facts import Facts
from backfire.planning.sizes import Stage

# Suffixes of files that ir_datasets keeps as they came; what it makes of them has others.
PACKED = {".gz", ".tgz", ".zip", ".bz2", ".lz4", ".tar"}


@dataclass(frozen=True)
class Wanted:
    """What one collection takes from ir_datasets: {id: parts}, and the texts that its passages are read in."""

    corpus: str
    needs: dict[str, list[str]]
    texts: list[str]


def files_to_fetch(wanted: dict[str, Wanted]) -> list[Missing]:
    """Every file that has to be downloaded, once, in the order of the collections."""
    files = [file for each in wanted.values() for file in lacking(each.needs, each.texts)]
    return list({file.path or file.keeps: file for file in files}.values())


def packed_bytes(wanted: Wanted) -> int | None:
    """Size of the downloads that hold a collection's passages, None where ir_datasets does not know it."""
    sizes = {id(node): node._size_hint for node, _ in _passage_sources(wanted)}
    return sum(sizes.values()) if sizes and None not in sizes.values() else None


def _passage_sources(wanted: Wanted) -> list[tuple[Any, tuple[Any, ...]]]:
    """Downloads that hold the passages, each with what keeps an unpacked copy of it."""
    if "docs" not in wanted.needs.get(wanted.corpus, ()):
        return []
    return list(sources_beneath(ir_datasets.load(wanted.corpus), ("docs",), (Download,), tuple(KEEPERS)))


def home_stages(wanted: dict[str, Wanted], facts: dict[str, Facts], files: list[Missing]) -> list[Stage]:
    """What downloads take in the home of `ir_datasets` and in its folder for temporary files.

    Unpacked it keeps the passages of some sources (published texts are read from the download), and the ids of
    published triples.
    """
    kept = sum(file.bytes or 0 for file in files if not file.temporary)
    passing = sum(file.bytes or 0 for file in files if file.temporary)
    unpacked = 0.0
    families: set[str] = set()
    for name, each in wanted.items():
        families |= {source.split("/")[0] for source in each.needs}
        if any(around for _, around in _passage_sources(each)) and set(each.texts) != {PUBLISHED}:
            unpacked += (facts[name].passages or 0) * (facts[name].text_bytes + facts[name].id_bytes)
        for source, parts in each.needs.items():
            if "docpairs" in parts:
                count = ir_datasets.load(source).metadata().get("docpairs", {}).get("count") or 0
                # Three ids, two tabs, one line end.
                unpacked += count * (3 * facts[name].id_bytes + 3)
    return [
        Stage("downloads", kept, (), "ir_datasets"),
        Stage("downloads, unpacked", round(unpacked), tuple(sorted(families)), "ir_datasets"),
        Stage("downloads, read once", 0, (), "tmp", passing=passing),
    ]


def unpacked_there(families: tuple[str, ...]) -> int:
    """Bytes that `ir_datasets` has unpacked already."""
    home = ir_datasets.util.home_path()
    files = (file for family in families for file in (home / family).rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files if file.suffix not in PACKED)


def homes() -> dict[str, Path]:
    """The folders of `ir_datasets`, by the name of their place."""
    return {"ir_datasets": ir_datasets.util.home_path(), "tmp": ir_datasets.util.tmp_path()}


def wanted_from(block: dict[str, dict[str, Any]]) -> dict[str, Wanted]:
    """From plain data, {collection: {corpus, needs, texts}}."""
    return {name: Wanted(**each) for name, each in block.items()}
