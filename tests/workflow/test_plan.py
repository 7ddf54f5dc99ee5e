"""The plan against the engine: its job table, its sizes after a run, its refusal, and what it makes run again."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from backfire.planning.jobs import Jobs, count_jobs
from engines import engines
from miniature.downloads import environment
from miniature.published import counts, publish
from miniature.server import serving

pytestmark = pytest.mark.workflow

# Sizes of a plan hold within this factor.
FACTOR = 1.5


def table(text):
    """The job table of a dry run, {rule: count}."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.split() == ["job", "count"]:
            next(lines)
            break
    rows = {}
    for line in lines:
        name, count = line.split()
        if name == "total":
            assert sum(rows.values()) == int(count)
            return rows
        # Copies for batches of shards count as their rule.
        name = re.sub(r"_shards_\d+_to_\d+$", "", name)
        rows[name] = rows.get(name, 0) + int(count)
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("study", "shards_per_job"),
    [("config.yaml", 1), ("studies/msmarco.yaml", 5), ("studies/vaswani.yaml", 1), ("tests/studies/ladder.yaml", 1)],
)
def test_the_jobs_of_a_plan_are_those_of_a_dry_run(root, tmp_path, study, shards_per_job):
    """Counted inside the engine from its rules, beside the table that it prints itself."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"encoding: {{shards_per_job: {shards_per_job}}}")
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(
        f"include: {str(root / 'Snakefile')!r}\nimport json\nPath('jobs.json').write_text(json.dumps(all_jobs()))\n"
    )
    arguments = ["-n", "all", "--quiet", "rules", "--directory", str(tmp_path), "--snakefile", str(snakefile)]
    done = engines().run([*arguments, "--configfile", str(root / study), str(overlay)], tmp_path)
    assert done.returncode == 0, done.stderr
    counted = count_jobs(Jobs(*each) for each in json.loads((tmp_path / "jobs.json").read_text()))
    assert counted == table(done.stdout + done.stderr)
    # Where nothing is downloaded a study needs no plan.
    assert ("plan_download" in counted) == ("download_collection" in counted) == study.startswith("studies/")


def test_sizes_hold_against_the_files_of_a_run(tiny):
    text = tiny.succeed("plan_study")
    assert "Plan of the study tiny" in text
    assert "nothing: everything is on this machine" in text
    plan = json.loads((tiny.directory / "results/tiny/plan.json").read_text())
    found = {each["stage"]: (each["bytes"], each["there"]) for each in plan["disk"] if each["place"] == "work"}
    for stage in (
        "tables",
        "models",
        "tokens",
        "embeddings",
        "indexes",
        "negatives",
        "triples",
        "rankings",
        "protocol",
    ):
        expected, there = found[stage]
        assert expected / FACTOR <= there <= expected * FACTOR, (stage, expected, there)
    # What is there is not needed again.
    assert sum(each["more"] for each in plan["disk"]) < 0.2 * sum(each["bytes"] for each in plan["disk"])
    assert (tiny.directory / "results/tiny/plan.txt").read_text() in text
    assert tiny.planned() == []


def test_a_disk_that_is_too_small_stops_before_the_download(clone, tmp_path, monkeypatch, overlay):
    """Four hundred models of MS MARCO, 11 TB, asked of whatever disk this is."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "ir_datasets"))
    monkeypatch.setenv("IR_DATASETS_TMP", str(tmp_path / "ir_datasets_tmp"))
    engine = clone.elsewhere(tmp_path / "work")
    study = clone.source / "studies/msmarco.yaml"
    small = overlay(
        {
            "seeds": list(range(200)),
            "encoding": {"shards": 1},
            "variants": {name: {"batch_size": 2, "max_length": 16} for name in ("full_bm25", "lora_hard")}
            | dict.fromkeys(("full_hard", "lora_bm25", "paper_full_1m")),
        }
    )
    done = engine.run("data/msmarco/download.json", overlays=(study, *small))
    assert done.returncode != 0
    assert "not enough disk on the file system of " in done.stderr
    assert f"{tmp_path / 'work'}" in done.stderr
    assert "Hint: run in a folder on a larger disk" in done.stderr
    # The page is shown all the same, and stays.
    assert "Download: 9.0 GB in " in done.stderr
    assert "Download: 9.0 GB in " in (tmp_path / "work/results/msmarco/plan.txt").read_text()
    for folder in ("ir_datasets", "ir_datasets_tmp", "work/data/msmarco"):
        held = [path for path in (tmp_path / folder).rglob("*") if path.is_file() and path.stat().st_size > 100]
        assert [path for path in held if path.suffix != ".log"] == []


def test_a_new_plan_downloads_nothing_again(clone, tmp_path, monkeypatch, overlay):
    held = publish(tmp_path / "published")
    target = "data/scifact/download.json"
    engine = replace(clone, study=clone.source / "studies/msmarco.yaml").elsewhere(tmp_path / "work")
    miniature = clone.source / "tests/studies/miniature.yaml"
    with serving(tmp_path / "published") as files:
        for name, value in environment(tmp_path / "published", files.url, tmp_path / "home", counts(held)).items():
            monkeypatch.setenv(name, value)
        assert "download_collection" in " ".join(engine.planned(target, overlays=(miniature,)))
        engine.succeed(target, overlays=(miniature,))

    assert engine.planned(target, overlays=(miniature,)) == []
    larger = overlay({"variants": {"paper_full_1m": {"batch_size": 4}}, "study": "other"})
    assert engine.planned(target, overlays=(miniature, *larger)) == []
    # Asked for by name, it is made anew for other settings.
    assert engine.planned("plan_study", overlays=(miniature, *larger)) == ["plan_study"]
    # Nor is a plan needed for what is there.
    shutil.rmtree(engine.directory / "results")
    (engine.directory / "data/scifact/plan.json").unlink()
    assert engine.planned(target, overlays=(miniature,)) == []
