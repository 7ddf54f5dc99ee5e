"""Several shards per job: the same files by fewer jobs, asked for one by one as ever."""

import re

import pytest
import yaml

pytestmark = pytest.mark.workflow
RESULTS = "results/tiny"
TARGET = f"{RESULTS}/runs/base/seed-0/tiny/test.trec"
BATCHED = ("tokenize_corpus", "encode_corpus", "index_shard")


@pytest.fixture(scope="module")
def ranked(clone, prepared_base, tmp_path_factory):
    """A function that ranks seven shards with base, so many to a job, once; gives the engine and its overlay."""
    found = {}

    def run(shards_per_job):
        if shards_per_job not in found:
            folder = tmp_path_factory.mktemp(f"by-{shards_per_job}")
            settings = {"encoding": {"shards": 7, "shards_per_job": shards_per_job}}
            overlay = folder / "overlay.yaml"
            overlay.write_text(yaml.safe_dump(settings))
            engine = clone.on("tiny").elsewhere(folder).given(prepared_base)
            engine.succeed(TARGET, overlays=(overlay,))
            found[shards_per_job] = engine, (overlay,)
        return found[shards_per_job]

    return run


def test_how_many_shards_a_job_takes_does_not_show(tiny, ranked):
    (alone, _), (together, _) = ranked(1), ranked(3)
    files = [
        path for kind in ("tokens", "embeddings", "index") for path in alone.directory.rglob(f"{kind}/**/*-of-7.*")
    ]
    assert len(files) == 3 * 7
    for path in [*files, alone.directory / TARGET]:
        same = together.directory / path.relative_to(alone.directory)
        assert same.read_bytes() == path.read_bytes(), path
    assert (alone.directory / TARGET).read_bytes() == (tiny.directory / TARGET).read_bytes()
    for engine, jobs in ((alone, 7), (together, 3)):
        for rule in BATCHED:
            assert len(list(engine.directory.glob(f"{RESULTS}/logs/{rule}/**/*.log"))) == jobs, rule
        # What each shard took is told apart.
        assert len(list(engine.directory.glob(f"{RESULTS}/cost/base/seed-0/encoding-tiny-*-of-7.json"))) == 7


def test_a_file_asks_for_the_one_job_that_makes_it(clone, tmp_path, overlay):
    engine = clone.on("tiny").elsewhere(tmp_path / "work")
    target = f"{RESULTS}/index/base/seed-0/tiny/5-of-7.faiss"
    three = overlay({"encoding": {"shards": 7, "shards_per_job": 3}})
    jobs = ["tokenize_corpus_shards_4_to_6 base default 64", "encode_corpus_shards_4_to_6 base"]
    jobs += ["index_shard_shards_4_to_6 base", "export_corpus", "prepare_base", "settle_arithmetic"]
    assert engine.planned(target, overlays=three) == sorted(jobs)
    last = engine.planned(target.replace("5-of", "7-of"), overlays=three)
    assert "index_shard_shards_7_to_7 base" in last and len(last) == 6
    everything = [job.split()[0] for job in engine.planned(overlays=three)]
    assert [everything.count(f"encode_corpus_shards_{shards}") for shards in ("1_to_3", "4_to_6", "7_to_7")] == [3] * 3
    assert not set(everything) & set(BATCHED)


def test_what_is_set_for_a_rule_is_set_for_its_batches(clone, tmp_path, overlay):
    """By the names of the documentation, as in a cluster's profile."""
    text = (
        clone.on("tiny")
        .elsewhere(tmp_path / "work")
        .succeed(
            "-n",
            f"{RESULTS}/embeddings/base/seed-0/tiny/corpus/1-of-7.parquet",
            *("--set-resources", "encode_corpus:slurm_partition=gpu", "encode_corpus:mem_mb=1234"),
            *("--set-threads", "encode_corpus=2"),
            overlays=overlay({"encoding": {"shards": 7, "shards_per_job": 7}}),
        )
    )
    job = text.split("rule encode_corpus_shards_1_to_7:\n")[1].split("\n[")[0]
    assert re.search(r"threads: 2\n +resources: .*mem_mb=1234,.*slurm_partition=gpu", job), job


def test_a_lost_file_is_made_again_with_those_of_its_job(ranked):
    engine, overlays = ranked(3)
    lost = engine.directory / f"{RESULTS}/embeddings/base/seed-0/tiny/corpus/5-of-7.parquet"
    kept, moved = lost.stat(), lost.with_suffix(".moved")
    lost.rename(moved)
    try:
        planned = engine.planned(str(lost.relative_to(engine.directory)), overlays=overlays)
        assert planned == ["encode_corpus_shards_4_to_6 base"]
    finally:
        moved.rename(lost)
    assert lost.stat().st_mtime_ns == kept.st_mtime_ns
    assert engine.planned(TARGET, overlays=overlays) == []


def test_another_number_encodes_again_unless_the_results_are_accepted(ranked, overlay):
    """The engine compares the inputs of the job that made a file; `--touch` takes the files as they are."""
    engine, _ = ranked(3)
    two = overlay({"encoding": {"shards": 7, "shards_per_job": 2}})
    planned = {job.split()[0] for job in engine.planned(TARGET, overlays=two)}
    assert {"tokenize_corpus_shards_1_to_2", "encode_corpus_shards_1_to_2", "rank"} <= planned
    assert not planned & {"export_corpus", "encode_queries", "prepare_base"}
    engine.succeed("--touch", TARGET, overlays=two)
    assert engine.planned(TARGET, overlays=two) == []
