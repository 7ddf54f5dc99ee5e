"""Points the download table of ir_datasets, in every Python process that gets the environment, at another server."""

import hashlib
import json
import os
import pkgutil
from pathlib import Path

SITE = Path(__file__).parent / "site"
NAMESPACES = ("msmarco-passage", "beir")


def environment(folder: Path, url: str, home: Path, counts: dict[str, dict[str, int]] | None = None) -> dict[str, str]:
    """Variables that make ir_datasets download from `url`, which serves `folder`, and keep its files in `home`.

    `counts` {id: {part: number of records}} stand for the published ones, which a plan is made from.
    """
    tables = home.with_name(f"{home.name}-tables-{url.split(':')[-1]}")
    tables.mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    (tables / "downloads.json").write_text(json.dumps(_downloads(folder, url)))
    (tables / "metadata.json").write_text(json.dumps(_metadata(counts or {})))
    return {
        "IR_DATASETS_TEST_TABLES": str(tables),
        "PYTHONPATH": os.pathsep.join([str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "IR_DATASETS_HOME": str(home),
        "IR_DATASETS_TMP": str(home.with_name(f"{home.name}-tmp")),
    }


def _downloads(folder: Path, url: str) -> dict:
    """The shipped table with addresses, sizes and checksums of the files in `folder`, as served under `url`."""
    shipped = _shipped("downloads.json")
    for namespace in NAMESPACES:
        for entry in shipped[namespace].values():
            file = folder / entry.get("url", "").split("/")[-1]
            if file.is_file():
                content = file.read_bytes()
                digest = hashlib.md5(content).hexdigest()
                entry.update(url=f"{url}/{file.name}", expected_md5=digest, size_hint=len(content))
                entry.pop("irds_mirror", None)
    return shipped


def _metadata(counts: dict[str, dict[str, int]]) -> dict:
    shipped = _shipped("metadata.json")
    for source, parts in counts.items():
        shipped[source].update({part: {"count": count} for part, count in parts.items()})
    return shipped


def _shipped(name: str) -> dict:
    return json.loads(pkgutil.get_data("ir_datasets", f"etc/{name}"))
