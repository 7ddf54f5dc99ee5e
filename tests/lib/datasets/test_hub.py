"""Data sets of the hub: files of data alone, by the card's subsets and splits, from the hub's own cache.

The real client and reader, offline, as on a node without a network; only the files in the cache are made here, in the
layout that `huggingface_hub` documents. Nothing here has spoken to the hub itself.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backfire.datasets.hub import _patterns, fetch_pairs
from backfire.datasets.pairs import read_pairs
from backfire.datasets.sources import PARTS, hub_parts, is_hub, is_pairs
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAIRS = [{"query": f"What is number {n}?", "answer": f"Number {n} follows {n - 1}."} for n in range(30)]


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Puts files of a data set of the hub into its cache, by name: text, or rows for Parquet and JSON lines."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(files, name="me/pairs"):
        root = tmp_path / "cache" / f"datasets--{name.replace('/', '--')}"
        for path, content in files.items():
            file = root / "snapshots" / COMMIT / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                file.write_text(content)
            elif path.endswith(".parquet"):
                pq.write_table(pa.Table.from_pylist(content), file)
            else:
                file.write_text("".join(json.dumps(row) + "\n" for row in content))
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs/main").write_text(COMMIT)

    return put


@pytest.fixture
def fetched(tmp_path):
    """Fetches a data set and reads its pairs; gives the manifests of both and the number of queries by split."""

    def fetch(source):
        rows, manifest = tmp_path / "hub/rows", tmp_path / "hub/manifest.json"
        fetch_pairs(source, str(rows), str(manifest))
        paths = {
            kind: {part: str(tmp_path / kind / f"{part}.parquet") for part in PARTS} for kind in ("queries", "qrels")
        }
        read_pairs(
            str(rows),
            None,
            {"dev": 0.1, "test": 0.2},
            str(tmp_path / "corpus.parquet"),
            **paths,
            manifest=str(tmp_path / "pairs.json"),
            hub=str(manifest),
        )
        counts = {part: len(read_rows(path, "queries")) for part, path in paths["queries"].items()}
        return read_json(manifest), read_json(tmp_path / "pairs.json"), counts

    return fetch


def card(*configs):
    listed = "".join(
        f"- config_name: {name}\n  data_files:\n"
        + "".join(f"  - split: {s}\n    path: '{p}'\n" for s, p in files.items())
        for name, files in configs
    )
    return f"---\nlicense: mit\nconfigs:\n{listed}---\n# A data set\n"


def test_a_data_set_with_one_split_is_split_by_a_hash(cached, fetched):
    cached({"data/train-00000-of-00001.parquet": PAIRS})
    noted, manifest, counts = fetched("hf:me/pairs")
    assert (noted["repository"], noted["commit"], noted["rows"]) == ("me/pairs", COMMIT, {"train": 30})
    assert manifest["hub"]["commit"] == COMMIT and manifest["held out"] == {"dev": 0.1, "test": 0.2}
    assert sum(counts.values()) == 30 and counts["test"] > 0


def test_splits_of_a_data_set_are_kept(cached, fetched):
    cached({"train.jsonl": PAIRS[:20], "validation.jsonl": PAIRS[20:24], "test.jsonl": PAIRS[24:]})
    noted, manifest, counts = fetched("hf:me/pairs")
    assert noted["rows"] == {"train": 20, "validation": 4, "test": 6}
    assert counts == {"train": 20, "dev": 4, "test": 6} and manifest["held out"] is None


def test_a_subset_is_the_one_that_the_card_names(cached, fetched):
    files = {"pair/train-0.parquet": PAIRS[:9], "other/train-0.parquet": PAIRS[9:]}
    cached(files | {"README.md": card(("pair", {"train": "pair/train-*"}), ("other", {"train": "other/train-*"}))})
    assert fetched("hf:me/pairs/pair")[0]["rows"] == {"train": 9}
    assert fetched(f"hf:me/pairs/other@{COMMIT}")[0]["rows"] == {"train": 21}
    with pytest.raises(BackfireError, match=r"'hf:me/pairs' has the subsets pair, other") as raised:
        fetched("hf:me/pairs")
    assert "as hf:me/pairs/pair" in raised.value.hint
    with pytest.raises(BackfireError, match=r"has no subset 'pairs'.*\n.*it has pair, other"):
        fetched("hf:me/pairs/pairs")


def test_the_default_subset_needs_no_name_and_a_folder_stands_for_one_without_a_card(cached, fetched):
    cached({"a/train.csv": "query,answer\nWhat?,That.\nWho?,They.\n", "b/train.csv": "query,answer\nWhy?,So.\n"})
    assert fetched("hf:me/pairs/a")[0]["rows"] == {"train": 2}
    cached({"README.md": card(("default", {"train": "b/*.csv"}), ("all", {"train": "*/train.csv"}))})
    noted, *_ = fetched("hf:me/pairs")
    assert (noted["subset"], noted["rows"]) == ("default", {"train": 1})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is not in the hub's cache on this machine and could not be fetched"),
        ({"pairs.py": "raise SystemExit('a script ran')"}, "cannot be read as a data set"),
        ({"train/0.pkl": "no pickle", "train/0.png": "no image"}, "is of the kind 'imagefolder'; read are files of"),
        ({"train.parquet": "no Parquet"}, "cannot be read as a data set"),
        ({"README.md": "---\nconfigs: [1\n---\n", "train.jsonl": PAIRS}, "cannot be read as a data set .ParserError"),
        ({"train-00000-of-00002.parquet": PAIRS}, "of 2 files train... there are 1 in the hub's cache"),
        (
            {"README.md": card(("default", {"train": "/etc/hosts"}))},
            "its card names the file '/etc/hosts', which is not",
        ),
        (
            {"README.md": card(("default", {"train": "../x.csv"}))},
            "its card names the file '../x.csv', which is not in",
        ),
        ({"README.md": card(("default", {"train": "hf://datasets/me/x/a.csv"}))}, "which is not in the data set"),
    ],
    ids=["nothing", "a script", "pickle", "damaged", "a broken card", "half", "absolute", "outside", "elsewhere"],
)
def test_what_is_no_data_is_refused_and_nothing_runs(cached, fetched, files, message):
    if files:
        cached(files)
    with pytest.raises(BackfireError, match=message) as raised:
        fetched("hf:me/pairs")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("hf:me/pairs", ("me/pairs", None, None)),
        ("hf:me/pairs/sub-set", ("me/pairs", "sub-set", None)),
        ("hf:me/pairs@v1.0", ("me/pairs", None, "v1.0")),
        ("hf:me/pairs/x@main", ("me/pairs", "x", "main")),
        ("hf:me/pairs@refs/convert/parquet", ("me/pairs", None, "refs/convert/parquet")),
        *(
            (each, None)
            for each in (
                "hf:pairs",
                "hf:me/pairs/a/b",
                "hf:../pairs",
                "hf:me/..",
                "hf:me/pairs@",
                "hf:me/pairs@/x",
                "hf:me/pairs@../x",
                "hf:",
            )
        ),
    ],
)
def test_ids(source, parts):
    assert is_hub(source) and is_pairs(source)
    if parts is None:
        with pytest.raises(BackfireError, match="no id of a data set of the hub"):
            hub_parts(source)
    else:
        assert hub_parts(source) == parts


@pytest.mark.parametrize(
    ("config", "patterns"),
    [
        ({"data_files": "pair/train-*"}, ["pair/train-*"]),
        ({"data_files": [{"split": "train", "path": ["./a.jsonl", "en/**/*.parquet"]}]}, ["a.jsonl", "en/*.parquet"]),
        ({"data_files": "**/*.parquet"}, ["*.parquet"]),
        ({"data_dir": "en", "data_files": "*.csv"}, ["en/*.csv"]),
        ({"data_dir": "en/"}, ["en/*"]),
        ({"data_files": "data/{train,test}.jsonl"}, []),
        ({"data_files": "data"}, []),
    ],
)
def test_what_a_card_names_is_what_the_client_fetches(config, patterns):
    from huggingface_hub.utils import filter_repo_objects

    assert _patterns("hf:me/x", config) == patterns
    if patterns:
        there = ["pair/train-0.parquet", "a.jsonl", "en/a.parquet", "en/b/c.parquet", "en/x.csv"]
        assert list(filter_repo_objects(there, allow_patterns=patterns))
