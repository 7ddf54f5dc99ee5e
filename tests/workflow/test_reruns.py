"""Only what changed runs again: the tables of docs/reruns.md, row by row, on dry runs of the finished tiny study.

The document names rules; a case here names jobs, which are rules with their wildcards. The two are held together.
"""

import contextlib
import os
import re
import shutil
import time

import pytest

from backfire.formats.tables import read_rows
from backfire.provenance.fingerprints import fingerprint
from rerun_cases import (
    BLOCK,
    CANDIDATES,
    CASES,
    FORECAST,
    GATHERING,
    TRAINED,
    WITHOUT_BASE,
    each,
    everything,
    shared,
    trained,
    without,
)

pytestmark = pytest.mark.workflow

TOUCH = "the time of every source"
COPY = "a copy that keeps times, with `.snakemake`"
COPY_ALONE = "a copy that keeps times, without `.snakemake`"
NEW_TIMES = "a copy with new times, with `.snakemake`"
NEW_TIMES_ALONE = "a copy with new times, without `.snakemake`"
ACCEPTED = "any of them, after `--touch --forceall`"


def rules(jobs):
    return {job.split()[0] for job in jobs}


@pytest.fixture(scope="module")
def tables(root):
    """Rows of the tables of docs/reruns.md as lists of cells."""
    lines = (root / "docs/reruns.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if not set(row[0]) <= {"-"}]


@pytest.fixture(scope="module")
def documented(tables):
    """{row: its rules}, with the names of groups replaced by what is in them."""
    groups = {}

    def named(cell):
        found, _, left_out = cell.partition(" but ")
        if left_out:
            return named(found) - named(left_out)
        singles = set(re.findall(r"`(\w+)`", cell))
        return singles.union(*(groups[name] for name in re.findall(r"\*([\w ]+)\*", cell)))

    for row in tables:
        if len(row) == 2 and row[0].startswith("*"):
            groups[row[0].strip("*")] = named(row[1])
    found = {row[0]: named(row[1]) for row in tables if len(row) == 3}
    return {row: found[row] for row in found if row not in ("change", "an edit of", "an upgrade of", "what is there")}


@contextlib.contextmanager
def edited(path, change):
    """A file with its text changed, put back with its times afterwards."""
    before, times = path.read_text(), path.stat()
    assert change(before) != before, path
    try:
        path.write_text(change(before))
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_the_document_has_these_rows(documented):
    own = [TOUCH, COPY, COPY_ALONE, NEW_TIMES, NEW_TIMES_ALONE, ACCEPTED]
    assert set(documented) == {*(case.row for case in CASES), *own}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row.replace("`", ""))
def test_a_change_runs_exactly(tiny, overlay, tmp_path, monkeypatch, documented, case):
    assert rules(case.jobs) == documented[case.row]
    with contextlib.ExitStack() as edits:
        if case.library:
            path = tiny.source / "workflow/lib/backfire" / case.library
            edits.enter_context(edited(path, lambda text: f"{text}\n\ndef _added():\n    return 1\n"))
        for name, (old, new) in case.edits.items():
            path = tiny.source / name
            edits.enter_context(edited(path, lambda text, old=old, new=new: text.replace(old, new, 1)))
        if case.package:
            # What pip leaves of a newer version, found before the version that is installed.
            folder = tmp_path / f"{case.package.replace('-', '_')}-99.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {case.package}\nVersion: 99.0\n")
            monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        settings = overlay(case.settings) if case.settings else ()
        assert tiny.planned(*case.arguments, overlays=settings) == sorted(case.jobs)


def test_touching_every_source_runs_nothing(tiny, documented):
    assert documented[TOUCH] == set()
    files = [path for path in tiny.source.iterdir() if path.is_file()]
    files += [path for part in ("workflow", "studies", "tests") for path in (tiny.source / part).rglob("*")]
    times = {path: path.stat() for path in files}
    try:
        for path in files:
            os.utime(path)
        assert tiny.planned() == []
    finally:
        for path, stat in times.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_fresh_clone_with_copied_results(tiny, overlay, tmp_path, documented):
    rate = overlay({"variants": {"lora_hard": {"learning_rate": 0.002}}})
    there = tiny.cloned(tmp_path / "clone")
    clone = there.directory
    for part in ("data", "results", ".snakemake"):
        shutil.copytree(tiny.directory / part, clone / part)
    assert there.planned() == [] and documented[COPY] == set()
    # The worst that copying in another order could do: every result is older than what it was made from.
    now = time.time()
    for path in [path for part in ("data", "results") for path in (clone / part).rglob("*")]:
        mirrored = 2 * now - path.stat().st_mtime - 1e6
        os.utime(path, (mirrored, mirrored))
    # Files of up to 1 MB are known by their checksums. Models are folders.
    assert there.planned() == sorted(WITHOUT_BASE)
    assert rules(WITHOUT_BASE) == documented[NEW_TIMES]
    shutil.rmtree(clone / ".snakemake")
    due = without(everything(), "prepare_base", "export_corpus")
    assert there.planned() == sorted(due) and rules(due) == documented[NEW_TIMES_ALONE]
    there.succeed("--touch", "--forceall")
    assert there.planned() == [] and documented[ACCEPTED] == set()
    # The settings are recorded as well.
    assert there.planned(overlays=rate) == sorted([*FORECAST, *trained("lora_hard"), *GATHERING])
    shutil.rmtree(clone / ".snakemake")
    os.utime(clone / "workflow/report/style.css")
    # Without a record nobody knows what the results were made with, so another rate goes unnoticed.
    assert there.planned() == there.planned(overlays=rate) == ["check_results", "write_report"]
    assert documented[COPY_ALONE] == {"write_report", "check_results"}
    shutil.rmtree(clone)


def test_the_command_line_says_what_a_file_says(tiny, overlay):
    file = overlay({"seeds": [0, 1], "variants": {"full_bm25": {"learning_rate": 3.0e-5}, "lora_hard": None}})
    given = ("--config", "seeds=[0, 1]", "variants={full_bm25: {learning_rate: 3.0e-5}, lora_hard: null}")
    planned = tiny.planned(*given)
    assert planned == tiny.planned(overlays=file) and "train_variant full_bm25 seed-1" in planned


def test_what_is_shared_runs_once_however_many_variants_and_seeds(tiny, overlay, tmp_path):
    more = {f"full_{number}": BLOCK | {"triples": ("bm25", "hard")[number % 2]} for number in range(5)}
    study = overlay({"seeds": [0, 1], "variants": more})
    runs = [variant + seed for variant in (*TRAINED, *more) for seed in ("", " seed-1")]
    samples = [*each("sample_triples", ("bm25", "bm25 seed-1", "hard", "hard seed-1")), "examine_triples"]
    planned = tiny.elsewhere(tmp_path / "empty").planned(overlays=study)
    assert planned == sorted([*shared(), *samples, *trained(*runs)])
    assert len(runs) == 14 and len(planned) == len(set(planned))


def test_packages_and_the_rules_that_compute_with_them(root, tables):
    """The table of packages in the document, against the fingerprints."""
    scripts = sorted((root / "workflow/scripts").glob("*.py"))
    found = {}
    for script in scripts:
        for pin in fingerprint(script, root / "workflow/lib").split()[1:]:
            found.setdefault(pin.split("==")[0], set()).add(script.stem)
    listed = {}
    for row in tables:
        if len(row) == 2 and row[0].startswith("`"):
            for package in re.findall(r"`([\w-]+)`", row[0]):
                listed[package] = set(re.findall(r"`(\w+)`", row[1]))
    assert listed == {package: found[package] for package in listed}
    assert {"torch", "tokenizers", "faiss-cpu", "umap-learn", "bm25s", "ir_measures", "matplotlib"} <= listed.keys()


SELECTION = "results/tiny/selection.parquet"


def test_nothing_that_is_reported_can_influence_a_choice(tiny, overlay, tmp_path):
    """From nothing, a choice needs no job of a reported split; made, it does not even notice when they change."""
    choice = overlay({"selections": CANDIDATES})
    planned = tiny.elsewhere(tmp_path / "empty").planned(SELECTION, overlays=choice)
    assert "rank full_bm25 dev" in planned and "train_variant lora_hard" in planned
    splits = {job.split()[-1] for job in planned if job.split()[0] in ("export_queries", "encode_queries", "rank")}
    assert splits == {"dev", "train"}
    tiny.succeed(SELECTION, overlays=choice)
    rows = read_rows(tiny.directory / SELECTION, "selection").to_pylist()
    assert {row["split"] for row in rows} == {"dev"} and sum(row["chosen"] for row in rows) == 1
    reported = [
        *tiny.directory.glob("data/tiny/q*/test.parquet"),
        *tiny.directory.glob("data/tiny/q*/unseen.parquet"),
        *tiny.directory.glob("results/tiny/runs/*/*/*/test.trec"),
        *tiny.directory.glob("results/tiny/measures/*/*"),
        tiny.directory / "results/tiny/measures.parquet",
        tiny.directory / "results/tiny/comparison.parquet",
    ]
    assert len(reported) >= 12
    before = {path: (path.read_bytes(), path.stat()) for path in reported}
    try:
        for path in reported:
            path.write_bytes(b"other values")
        assert tiny.planned(SELECTION, overlays=choice) == []
    finally:
        for path, (content, stat) in before.items():
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert tiny.planned() == []
