"""Folders in BEIR layout, and one extraction of pydocs that the tests of this folder share."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTRACT = """
import logging
logging.basicConfig(level=logging.INFO)
from backfire.datasets.pydocs import collection_file
print(collection_file())
"""


@pytest.fixture(scope="session")
def vaswani() -> str:
    return str(Path(__file__).parents[4] / "shared/data/vaswani")


@pytest.fixture(scope="session")
def two_extractions(tmp_path_factory):
    """Two processes that want the collection at the same time, in a home without it: (home, their results)."""
    home = tmp_path_factory.mktemp("ir_datasets")
    environment = {**os.environ, "IR_DATASETS_HOME": str(home)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", EXTRACT],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    return home, [process.communicate() for process in processes]


@pytest.fixture
def pydocs_home(two_extractions, monkeypatch) -> Path:
    """The home of ir_datasets that holds the collection."""
    home, _ = two_extractions
    monkeypatch.setenv("IR_DATASETS_HOME", str(home))
    return home


@pytest.fixture
def beir(tmp_path):
    """Write a folder in BEIR layout from (id, title, text), (id, text) and (query id, passage id, grade)."""

    def write(corpus=(), queries=(), qrels=(), split="test", packed=False) -> str:
        folder = tmp_path / "collection"
        files = {
            "corpus.jsonl": [json.dumps({"_id": i, "title": title, "text": text}) for i, title, text in corpus],
            "queries.jsonl": [json.dumps({"_id": i, "text": text}) for i, text in queries],
            f"qrels/{split}.tsv": ["query-id\tcorpus-id\tscore", *("\t".join(map(str, judged)) for judged in qrels)],
        }
        for name, lines in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = "".join(f"{line}\n" for line in lines).encode()
            if packed:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
        return str(folder)

    return write
