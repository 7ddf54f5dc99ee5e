"""Mistakes as a person meets them: the error and its hint on the terminal, and nothing half-written."""

import json
import shutil

import pytest

pytestmark = pytest.mark.workflow

PASSAGES = [
    {"_id": f"d{number}", "title": "", "text": f"Passage number {number} tells of item {number}."}
    for number in range(12)
]
QUERIES = [{"_id": "q1", "text": "tell me of item 1"}, {"_id": "q2", "text": "tell me of item 2"}]
QRELS = ["q1\td1\t1", "q2\td2\t1"]


@pytest.fixture
def folder_study(clone, tmp_path):
    """A study of a folder that the test writes: gives the engine and the folder."""
    mine = tmp_path / "work" / "mine"
    (mine / "qrels").mkdir(parents=True)

    def write(passages=PASSAGES, queries=QUERIES, qrels=QRELS):
        (mine / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in passages))
        (mine / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
        (mine / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n")
        return clone.on("folder").elsewhere(tmp_path / "work")

    return write


def failure(engine, *arguments, overlays=()):
    """What a run that must fail printed; nothing it should have written may be there."""
    done = engine.run(*arguments, overlays=overlays)
    text = done.stdout + done.stderr
    assert done.returncode != 0, text[-3000:]
    assert "Hint: " in text, text[-3000:]
    return text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encodng": {"shards": 2}}, "unknown key 'encodng', did you mean 'encoding'?"),
        ({"variants": {"full_hard": {"triples": "hrd"}}}, "'hrd' is not a triple set of this study."),
        ({"variants": {"full_hard": {"learning_rate": "2e-5"}}}, "write 2.0e-5"),
        ({"encoding": {"shards": 0}}, "encoding.shards: found 0, expected at least 1"),
        ({"seeds": [1, 1]}, "seeds: 1 is listed twice."),
    ],
)
def test_a_mistake_in_the_configuration_stops_before_the_dag(clone, overlay, tmp_path, settings, message):
    engine = clone.elsewhere(tmp_path / "work")
    assert message in failure(engine, overlays=overlay(settings))
    assert not (tmp_path / "work/results").exists()
    assert not (tmp_path / "work/data").exists()


def test_a_wrong_digest_stops_before_anything_is_computed(clone, overlay, tmp_path):
    engine = clone.elsewhere(tmp_path / "work")
    text = failure(engine, overlays=overlay({"base_model_sha256": "0" * 64}))
    assert "expected 0000" in text
    assert not (tmp_path / "work/results").exists()
    assert not (tmp_path / "work/data").exists()


def test_a_base_without_weights_stops_before_anything_is_computed(clone, overlay, base_model, tmp_path):
    local = tmp_path / "model"
    shutil.copytree(base_model, local)
    (local / "model.safetensors").unlink()
    engine = clone.elsewhere(tmp_path / "work")
    assert "holds no model.safetensors" in failure(engine, overlays=overlay({"base_model": str(local)}))
    assert not (tmp_path / "work/data").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"passages": []}, "holds no passage"),
        ({"passages": [*PASSAGES, PASSAGES[0]]}, "'d0'"),
        ({"passages": [*PASSAGES, {"_id": "d9", "text": " \t "}]}, "'d9'"),
        ({"passages": PASSAGES[:1]}, "is to be cut into 2 shards, but holds 1 passage"),
    ],
)
def test_a_bad_corpus(folder_study, change, message):
    engine = folder_study(**change)
    assert message in failure(engine)
    assert not list((engine.directory / "data").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qrels": [*QRELS, "q9\td1\t1"]}, "'q9'"),
        ({"qrels": [*QRELS, "q1\td99\t1"]}, "'d99'"),
        ({"qrels": [*QRELS, "q1\td3\tyes"]}, "yes"),
        ({"queries": [*QUERIES, {"_id": "q1", "text": "again"}]}, "'q1'"),
        ({"queries": [*QUERIES, {"_id": "q3", "text": ""}]}, "'q3'"),
        ({"qrels": []}, "test"),
    ],
)
def test_bad_queries_and_judgments(folder_study, change, message):
    engine = folder_study(**change)
    assert message in failure(engine, "data/mine/manifest.json")
    assert not list((engine.directory / "data").rglob("q*/*.parquet"))


def test_a_depth_beyond_the_corpus(folder_study, overlay):
    engine = folder_study()
    target = "results/folder/runs/base/seed-0/mine/test.trec"
    text = failure(engine, target, overlays=overlay({"ranking": {"depth": 13}}))
    assert "ranking.depth" in text
    assert not list(engine.directory.rglob("*.trec"))


def test_the_same_folder_without_a_mistake_gives_a_report(folder_study):
    engine = folder_study()
    engine.succeed()
    assert (engine.directory / "results/folder/report.html").is_file()
