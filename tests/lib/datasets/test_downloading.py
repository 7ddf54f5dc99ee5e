"""Downloads from a real server, also one that cuts connections, refuses ranges or sends other bytes."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from miniature.downloads import environment
from miniature.published import publish
from miniature.server import serving

COLLECTION, TRIPLES = "collectionandqueries.tar.gz", "triples.train.small.tar.gz"
CUT = 20_000
CORPUS = {"msmarco-passage": ["docs"]}
EVERYTHING = {
    "msmarco-passage": ["docs"],
    "msmarco-passage/train/split200-train": ["queries", "qrels"],
    "msmarco-passage/train/split200-valid": ["queries", "qrels"],
    "msmarco-passage/train/triples-small": ["docpairs"],
    "msmarco-passage/dev/small": ["queries", "qrels"],
    "msmarco-passage/trec-dl-2019/judged": ["queries", "qrels"],
    "msmarco-passage/trec-dl-2020/judged": ["queries", "qrels"],
    "beir/scifact/test": ["docs", "queries", "qrels"],
}
FILES = {
    COLLECTION,
    TRIPLES,
    "queries.tar.gz",
    "qrels.train.tsv",
    "msmarco-test2019-queries.tsv.gz",
    "msmarco-test2020-queries.tsv.gz",
    "2019qrels-pass.txt",
    "2020qrels-pass.txt",
    "scifact.zip",
}
FETCH = """
import json, sys
from backfire.datasets.downloads import fetch
print(json.dumps(fetch(json.loads(sys.argv[1]))))
"""
LIST = """
import json, sys
from dataclasses import asdict
from backfire.datasets.downloads import missing
needs = json.loads(sys.argv[1])
print(json.dumps([asdict(each) for source, parts in needs.items() for each in missing(source, parts)]))
"""
REQUIRE = """
import sys
from backfire.datasets.downloads import require
from backfire.errors import BackfireError
try:
    require("msmarco-passage/train/triples-small", ["docs", "queries", "qrels", "docpairs"])
except BackfireError as error:
    print(error)
"""
READ = """
import json, sys, ir_datasets
for source, parts in json.loads(sys.argv[1]).items():
    dataset = ir_datasets.load(source)
    print(source, *(sum(1 for _ in getattr(dataset, f"{part}_iter")()) for part in parts))
"""

# The record lies beside the home; what each part is read from, by name and MD5, goes out.
CONTENTS = """
import json, os, sys
from pathlib import Path
from backfire.datasets.downloads import download_collection
from backfire.datasets.load import contents
record = str(Path(os.environ["IR_DATASETS_HOME"]).with_name("download.json"))
download_collection("msmarco-passage", json.loads(sys.argv[1]), ["default"], record)
for source in (None, "msmarco-passage/dev/small", "msmarco-passage/trec-dl-2019/judged"):
    print(json.dumps(contents("msmarco-passage", ["other.json", record], source)["downloads"]))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder that the server hands out."""
    folder = tmp_path_factory.mktemp("published")
    publish(folder)
    return folder


@pytest.fixture
def files(published):
    """What is served, to be told how to misbehave."""
    with serving(published) as served:
        yield served


@pytest.fixture
def home(tmp_path):
    """A home of ir_datasets, empty at first."""
    return tmp_path / "home"


@pytest.fixture
def process(files, home):
    """A function that starts Python code whose downloads come from the server."""

    def start(code: str, needs: dict = CORPUS) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(needs)],
            env={**os.environ, **environment(files.folder, files.url, home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def succeed(process: subprocess.Popen) -> str:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def fail(process: subprocess.Popen) -> str:
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "BackfireError" in errors
    assert "Hint: " in errors
    return errors


def whole(files, home) -> bool:
    """Whether the collection arrived as it is published."""
    return (home / "msmarco-passage" / COLLECTION).read_bytes() == (files.folder / COLLECTION).read_bytes()


def leftovers(home) -> list[str]:
    """Names of what downloads left, apart from locks."""
    temporary = home.with_name("home-tmp")
    return [
        path.name
        for folder in (home, temporary)
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size
    ]


def test_a_connection_that_is_cut_goes_on_where_it_was(process, files, home):
    files.cut = {COLLECTION: CUT}
    succeed(process(FETCH))
    first, resumed = files.asked(COLLECTION)
    assert first is None
    assert 0 < int(resumed.removeprefix("bytes=").removesuffix("-")) <= CUT
    assert whole(files, home)


def test_a_connection_that_is_cut_twice_goes_on_twice(process, files, home):
    files.cut, files.cuts = {COLLECTION: CUT}, 2
    succeed(process(FETCH))
    starts = [int(sought.removeprefix("bytes=").removesuffix("-")) for sought in files.asked(COLLECTION)[1:]]
    assert 0 < starts[0] < starts[1] <= 2 * CUT
    assert whole(files, home)


def test_without_ranges_it_starts_again(process, files, home):
    files.cut, files.ranges = {COLLECTION: CUT}, False
    succeed(process(FETCH))
    assert files.asked(COLLECTION) == [None, None]
    assert whole(files, home)


def test_a_connection_that_is_always_cut_is_an_error_and_leaves_nothing(process, files, home):
    files.cut, files.cuts, files.ranges = {COLLECTION: CUT}, 1000, False
    assert f"{files.url}/{COLLECTION}" in fail(process(FETCH))
    assert not [each for each in leftovers(home) if each.startswith(COLLECTION)]


@pytest.mark.parametrize(("name", "needs"), [(COLLECTION, CORPUS), (TRIPLES, EVERYTHING)])
def test_a_process_killed_in_the_middle_leaves_nothing_that_is_taken_for_whole(process, files, home, name, needs):
    files.cut, files.pause = {name: CUT}, threading.Event()
    killed = process(FETCH, needs)
    for _ in range(600):
        if files.asked(name):
            break
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert files.asked(name) == [None]
    assert not (home / "msmarco-passage" / name).exists()
    files.pause.set()
    succeed(process(FETCH, needs))
    assert whole(files, home)
    assert not list(home.rglob(f"{name}*.tmp"))
    succeed(process(FETCH, needs))
    assert len(files.asked(name)) == 2


@pytest.mark.parametrize(("name", "needs"), [(COLLECTION, CORPUS), (TRIPLES, EVERYTHING)])
def test_a_wrong_checksum_is_an_error_and_leaves_no_file(process, files, home, name, needs):
    content = bytearray((files.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    files.instead = {name: bytes(content)}
    message = fail(process(FETCH, needs))
    assert f"{files.url}/{name}" in message
    assert "Expected md5 hash" in message
    assert "what came is not the published file: an error page" in message
    assert not [each for each in leftovers(home) if each.startswith((name, "tmp", "small.triples"))]
    files.instead = {}
    succeed(process(FETCH, needs))
    assert whole(files, home)


def test_a_page_that_says_not_found_is_not_taken_for_the_file(process, files, home):
    files.absent = {COLLECTION}
    assert f"{files.url}/{COLLECTION}" in fail(process(FETCH))
    assert not [each for each in leftovers(home) if each.startswith(COLLECTION)]


def test_everything_that_is_missing_is_one_error_with_sizes(process, files, home):
    message = succeed(process(REQUIRE))
    for name in (COLLECTION, TRIPLES, "queries.tar.gz", "qrels.train.tsv"):
        size = (files.folder / name).stat().st_size
        (line,) = [line for line in message.splitlines() if f"{files.url}/{name})" in line]
        assert f"{size / 1000:.1f}KB" in line
    assert "Hint: " in message
    assert files.requests == []


def test_each_file_is_asked_for_once_and_then_never(process, files, home):
    described = json.loads(succeed(process(FETCH, EVERYTHING)))
    assert sorted(name for name, _ in files.requests) == sorted(FILES)
    assert {each["url"].split("/")[-1] for each in described} == FILES
    assert json.loads(succeed(process(FETCH, EVERYTHING))) == described
    lines = succeed(process(READ, EVERYTHING)).splitlines()
    assert lines[0] == "msmarco-passage 400"
    assert len(files.requests) == len(FILES)
    assert json.loads(succeed(process(LIST, EVERYTHING))) == []


def test_files_put_in_their_place_by_hand_are_taken(process, files, home):
    for each in json.loads(succeed(process(LIST, EVERYTHING))):
        (home / each["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files.folder / each["url"].split("/")[-1], each["path"])
    assert json.loads(succeed(process(LIST, EVERYTHING))) == []
    succeed(process(FETCH, EVERYTHING))
    assert succeed(process(READ, EVERYTHING)).startswith("msmarco-passage 400\n")
    assert files.requests == []


def test_what_a_part_is_read_from_is_known_by_its_bytes(process, home):
    """What other splits of a collection are read from does not count."""
    needs = {source: parts for source, parts in EVERYTHING.items() if source.startswith("msmarco-passage")}
    passages, dev, judged = [json.loads(line)[0] for line in succeed(process(CONTENTS, needs)).splitlines()]
    assert all(name.startswith("msmarco-passage/") for name in [*passages, *dev, *judged])
    assert not passages.keys() & judged.keys() and len(judged) == 2
    for name, md5 in (passages | dev | judged).items():
        assert hashlib.md5((home / name).read_bytes()).hexdigest() == md5
    fewer = {source: EVERYTHING[source] for source in ("msmarco-passage", "msmarco-passage/dev/small")}
    fewer["msmarco-passage/trec-dl-2019/judged"] = ["queries", "qrels"]
    assert json.loads(succeed(process(CONTENTS, fewer)).splitlines()[0])[0] == passages
