"""Points the download table of ir_datasets, in every Python process that gets the environment, at another server."""

import hashlib
import json
import os
import pkgutil
from pathlib import Path

SITE = Path(__file__).parent / "site"
NAMESPACES = ("msmarco-passage", "beir")


def table(folder: Path, url: str) -> dict:
    """The shipped table with addresses, sizes and checksums of the files in `folder`, as served under `url`."""
    shipped = json.loads(pkgutil.get_data("ir_datasets", "etc/downloads.json"))
    for namespace in NAMESPACES:
        for entry in shipped[namespace].values():
            file = folder / entry.get("url", "").split("/")[-1]
            if file.is_file():
                content = file.read_bytes()
                entry.update(
                    url=f"{url}/{file.name}", expected_md5=hashlib.md5(content).hexdigest(), size_hint=len(content)
                )
                entry.pop("irds_mirror", None)
    return shipped


def environment(folder: Path, url: str, home: Path) -> dict[str, str]:
    """Variables that make ir_datasets download from `url`, which serves `folder`, and keep its files in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    path = home.with_name(f"{home.name}-downloads-{url.split(':')[-1]}.json")
    path.write_text(json.dumps(table(folder, url)))
    return {
        "BACKFIRE_TEST_DOWNLOADS": str(path),
        "PYTHONPATH": os.pathsep.join([str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "IR_DATASETS_HOME": str(home),
        "IR_DATASETS_TMP": str(home.with_name(f"{home.name}-tmp")),
    }
