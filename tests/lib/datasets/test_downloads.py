"""What an id needs from the network, in a home that is empty; nothing here reaches it."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

LISTED = {
    ("msmarco-passage", "docs"): {"collectionandqueries.tar.gz"},
    ("msmarco-passage/dev/small", "queries"): {"collectionandqueries.tar.gz"},
    ("msmarco-passage/train/triples-small", "docpairs"): {
        "triples.train.small.tar.gz",
        "collectionandqueries.tar.gz",
        "queries.tar.gz",
    },
    # Filtered by the queries of other parts, other ids and other files.
    ("msmarco-passage/train/split200-train", "queries"): {"queries.tar.gz"},
    ("msmarco-passage/train/split200-train", "qrels"): {"qrels.train.tsv"},
    ("msmarco-passage/trec-dl-2019/judged", "queries"): {"msmarco-test2019-queries.tsv.gz", "2019qrels-pass.txt"},
    ("msmarco-passage/dev/2", "queries"): {"queries.tar.gz", "passv2_dev2_queries.tsv"},
    ("msmarco-passage/train/medical", "queries"): {"queries.tar.gz", "med-msmarco-train.txt"},
    ("beir/scifact/test", "queries"): {"scifact.zip"},
    ("beir/nfcorpus/test", "docs"): {"nfcorpus.zip"},
    ("vaswani", "qrels"): {"npl.tar.gz"},
}
LIST = """
import json, sys
from backfire.datasets.downloads import missing
for source, part in json.loads(sys.argv[1]):
    print(json.dumps([vars(each) for each in missing(source, [part])]))
"""
SWEEP = """
import ir_datasets
from pathlib import Path
from urllib.parse import urlsplit
from backfire.datasets.downloads import missing
found = empty = 0
home = ir_datasets.util.home_path()
for source in list(ir_datasets.registry):
    dataset = ir_datasets.load(source)
    for part in ("docs", "queries", "qrels", "docpairs"):
        if dataset.has(part) and not source.startswith("pydocs"):
            lacking = missing(source, [part])
            assert all(each.path or each.keeps for each in lacking), source
            places = [place for each in lacking for place in (each.path, each.keeps) if place]
            assert all(home in Path(place).resolve().parents for place in places), (source, places)
            urls = [urlsplit(each.url) for each in lacking if each.url]
            assert all(url.scheme in ("http", "https") and url.hostname for url in urls), (source, urls)
            found, empty = found + bool(lacking), empty + (not lacking)
print(found, empty)
"""
FETCH = """
import sys
from backfire.datasets.downloads import download_collection
from backfire.errors import BackfireError
try:
    needs = {sys.argv[1]: ["docs"], sys.argv[2]: ["queries", "qrels"]}
    download_collection(sys.argv[1], needs, ["default"], "out.json")
except BackfireError as error:
    print(error)
"""
READ = """
from backfire.datasets.load import load_corpus, records
from backfire.errors import BackfireError
try:
    list(records(load_corpus("vaswani"), "vaswani", "docs"))
except BackfireError as error:
    print(error)
"""


@pytest.fixture
def offline(tmp_path):
    """A function that runs Python code with an empty home of ir_datasets and no way to the network."""

    def run(code: str, *arguments: str) -> str:
        nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
        home = {"IR_DATASETS_HOME": str(tmp_path / "home"), "IR_DATASETS_TMP": str(tmp_path / "tmp"), "no_proxy": ""}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **nowhere, **home},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_each_part_lists_the_downloads_that_it_reads_from(offline, tmp_path):
    lines = offline(LIST, json.dumps(list(LISTED))).splitlines()
    for (asked, names), line in zip(LISTED.items(), lines, strict=True):
        found = {each["url"].split("/")[-1]: each for each in json.loads(line)}
        assert found.keys() == names, asked
        for each in found.values():
            assert each["bytes"] > 1000
            assert each["path"].startswith(str(tmp_path / "home"))
            assert each["command"].endswith(shlex.join(["-o", each["path"], each["url"]]))
    triples = {each["url"].split("/")[-1]: each for each in json.loads(lines[2])}["triples.train.small.tar.gz"]
    assert triples["temporary"] and triples["bytes"] == 7930881353
    assert triples["keeps"].endswith("msmarco-passage/train/small.triples.qidpid.tsv")


def test_every_id_can_be_asked(offline):
    found, empty = map(int, offline(SWEEP).split())
    # The family natural-questions hides what it downloads.
    assert found > 1500 and empty <= 7


def test_what_a_cache_holds_needs_nothing_beneath_it(offline, tmp_path):
    cache = tmp_path / "home/vaswani/docs.txt"
    cache.parent.mkdir(parents=True)
    cache.write_text("1\nsome text\n   /\n")
    docs, queries = map(json.loads, offline(LIST, '[["vaswani", "docs"], ["vaswani", "queries"]]').splitlines())
    assert docs == []
    assert [each["path"] for each in queries] == [str(tmp_path / "home/vaswani/npl.tar.gz")]


def test_a_copy_provided_by_hand_counts(offline, tmp_path):
    asked = '[["msmarco-passage/trec-dl-2019", "queries"]]'
    (lacking,) = json.loads(offline(LIST, asked))
    assert lacking["temporary"] and Path(lacking["path"]).parent == tmp_path / "home/downloads"
    Path(lacking["path"]).parent.mkdir(parents=True)
    Path(lacking["path"]).write_bytes(b"anything")
    assert json.loads(offline(LIST, asked)) == []


def test_without_a_network_one_error_lists_what_is_missing_and_how_to_fetch_it(offline, tmp_path):
    told = offline(FETCH, "msmarco-passage", "msmarco-passage/trec-dl-2019/judged")
    assert "collectionandqueries.tar.gz cannot be fetched" in told
    for name in (
        "collectionandqueries.tar.gz (1.1GB, ",
        "eda71eccbe4d251af83150abe065368c (4.3KB, ",
        "2019/qrels (187.1KB",
    ):
        assert told.count(name) == 1, told
    hint = told[told.index("Hint: ") :]
    assert "snakemake --cores 1 out.json" in hint
    assert hint.count("curl -fL") == 3
    assert "-H 'X-Ms-Version: 2019-12-12'" in hint
    assert not (tmp_path / "out.json").exists()
    assert [path.name for path in (tmp_path / "home").rglob("*") if path.is_file()] in (
        ["irds_version.txt", "backfire.lock"],
        ["backfire.lock", "irds_version.txt"],
    )


def test_a_file_that_is_not_the_published_one_is_refused(offline, tmp_path):
    npl = tmp_path / "home/vaswani/npl.tar.gz"
    npl.parent.mkdir(parents=True)
    npl.write_bytes(b"not the collection")
    told = offline(FETCH, "vaswani", "vaswani")
    assert f"{npl}: MD5 is {hashlib.md5(b'not the collection').hexdigest()}, expected 23e56070" in told
    assert "Hint: it is cut short or another file" in told


def test_a_set_of_another_corpus_is_refused_before_anything_is_downloaded(offline):
    told = offline(FETCH, "beir/scifact", "beir/nfcorpus/test")
    assert told.startswith("'beir/nfcorpus/test' belongs to the corpus 'beir/nfcorpus', not to 'beir/scifact'")


def test_reading_never_downloads(offline, tmp_path):
    told = offline(READ)
    assert told.startswith("'vaswani' is not all on this machine. Missing:\n")
    assert "npl.tar.gz (2.1MB, http" in told
    assert "Hint: where there is a network, run `snakemake --cores 1 data/<collection>/download.json`" in told
