"""A small collection of real text, and a training on it."""

import json
import math
import shutil

import pytest
from safetensors.torch import load_file, save_file
from small_training import DYNAMICS, LAYERS, SETTINGS

from backfire.formats.tables import read_rows
from backfire.training.run import train_variant


@pytest.fixture(scope="session")
def base_model(real_model, tmp_path_factory):
    """The first two layers of the real all-MiniLM-L6-v2, with its tokenizer: real text is as near or far as a model of
    some 15 million weights has it, in a third of the time."""
    folder = tmp_path_factory.mktemp("model") / "all-MiniLM-L6-v2"
    shutil.copytree(real_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": LAYERS}))
    weights = load_file(folder / "model.safetensors")
    left_out = tuple(f"encoder.layer.{number}." for number in range(LAYERS, config["num_hidden_layers"]))
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(left_out)}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def docstrings():
    """(name, first paragraph, rest) of functions of the standard library's statistics and random modules."""
    import inspect
    import random
    import statistics

    found = []
    for module in (statistics, random, math, json, inspect):
        for name, item in sorted(vars(module).items()):
            first, _, rest = (getattr(item, "__doc__", None) or "").strip().partition("\n")
            if callable(item) and len(rest.split()) > 5:
                found.append((f"{module.__name__}.{name}", first, rest.strip()))
    assert len(found) >= 48
    return found[:48]


@pytest.fixture
def files(docstrings, table):
    """Tables of a small collection and 12 triples."""
    name = [row[0] for row in docstrings]
    triples = [
        {
            "example": i,
            "query_id": f"q:{name[i]}",
            "positive_id": name[i],
            "negative_id": name[(i + 7) % 48],
            "source": "random",
        }
        for i in range(12)
    ]
    development = range(12, 24)
    return {
        "triples": table("triples", "triples", triples),
        "queries": table("train", "queries", [{"query_id": f"q:{n}", "text": q} for n, q, _ in docstrings]),
        "corpus": [table("corpus", "corpus", [{"doc_id": n, "text": d} for n, _, d in docstrings])],
        "development_queries": table(
            "dev", "queries", [{"query_id": f"q:{name[i]}", "text": docstrings[i][1]} for i in development]
        ),
        "development_qrels": table(
            "qrels", "qrels", [{"query_id": f"q:{name[i]}", "doc_id": name[i], "relevance": 1} for i in development]
        ),
    }


@pytest.fixture
def train(files, base_model, tmp_path):
    """A function that trains and gives the model folder, the dynamics rows and the cost."""

    def run(name, start=None, seed=0, relevant_from=1, dynamics=DYNAMICS, **settings):
        train_variant(
            start=str(start or base_model),
            **files,
            settings=SETTINGS | settings,
            dynamics=dynamics,
            seed=seed,
            base_name="all-MiniLM-L6-v2",
            output=str(tmp_path / name),
            dynamics_table=str(tmp_path / f"{name}.parquet"),
            development_table=str(tmp_path / f"{name}.queries.parquet"),
            layers_table=str(tmp_path / f"{name}.layers.parquet"),
            cost=str(tmp_path / f"{name}.json"),
            label="test",
            checkpoints=str(tmp_path / "checkpoints" / name),
            code="code",
            relevant_from=relevant_from,
        )
        rows = read_rows(tmp_path / f"{name}.parquet", "dynamics").to_pylist()
        return tmp_path / name, rows, json.loads((tmp_path / f"{name}.json").read_text())

    return run
