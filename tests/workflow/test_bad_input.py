"""Mistakes as a person meets them: the error and its hint on the terminal, and nothing half-written."""

import gzip
import json
import re
import shutil

import pytest

from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows
from backfire.formats.trec import read_run

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


def refused_unrun(clone, directory, *overlays):
    """What a dry run printed that must fail, as must the run itself, before either has made anything."""
    engine = clone.elsewhere(directory)
    text = failure(engine, "-n", overlays=overlays)
    assert "Traceback" not in text
    assert not (directory / "results").exists() and not (directory / "data").exists()
    return text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [0]\nranking: {depth: 9}\nseeds: [5]\n", "'seeds' stands twice, in lines 1 and 3"),
        ("variants:\n  a: null\n  b: null\n  a: null\n", "'variants.a' stands twice, in lines 2 and 4"),
        ('{"seeds": [0],\n"seeds": [5]}\n', "'seeds' stands twice, in lines 1 and 2"),
        ("seeds: [010]\n", "YAML reads 010 in line 1 as 8"),
    ],
)
def test_what_a_file_says_twice_is_told_with_its_lines(clone, tmp_path, text, message):
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    assert message in refused_unrun(clone, tmp_path / "work", mine)


def test_numbers_with_a_decimal_point_and_merge_keys_are_taken(folder_study, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "encoding: &encoding {shards: 2.0, max_length: 6.4e+1}\nranking: {depth: 3.0}\n"
        "collections:\n  mine: {size: 1.0e+1}\nprotocol: null\nlatency: {<<: {queries: 2.0}}\n"
    )
    engine = folder_study()
    engine.succeed("data/mine/corpus/manifest.json", overlays=(mine,))
    manifest = read_json(engine.directory / "data/mine/corpus/manifest.json")
    assert (manifest["size"], manifest["kept"], len(manifest["shards"])) == (10, 10, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measures": ["RR@10", "MRR@10"]}, "write RR@10"),
        ({"measures": ["RR@10", "ndcg@10"]}, "did you mean 'nDCG@10'?"),
        ({"encoding": {"max_length": 513}}, "encoding.max_length: 513 tokens"),
        ({"variants": {"full_hard": {"max_length": 2000}}}, "variants.full_hard.max_length: 2000 tokens"),
        (
            {"variants": {"lora_hard": {"lora": {"target_modules": ["q_proj"]}}}},
            "q_proj is no linear layer of the model that it starts from",
        ),
        ({"encoding": {"index": "IVF4096,Flat"}}, "encoding.index: 'IVF4096,Flat' has 4096 cells"),
        ({"collections": {"pydocs": {"splits": {"test": "pydocs/train"}}}}, "'train' and 'test' are the same queries"),
        ({"collections": {"pydocs": {"splits": {"dev": "pydocs/train"}}}}, "'train' and 'dev' are the same queries"),
        ({"collections": {"pydocs": {"splits": {"test": "pydocs/tset"}}}}, "'pydocs/tset' is neither an id"),
        (
            {"collections": {"b": {"corpus": "hf:b", "splits": {"test": "b"}}}},
            "collections.b.corpus: found 'hf:b', which is no id of a data set of the hub",
        ),
        ({"collections": {"b": {"corpus": "./b", "splits": {"test": "b"}}}}, "'./b': there is no such folder"),
        ({"collections": {"b": {"corpus": "vaswani", "splits": {"a": "vaswani", "b": "vaswani"}}}}, "the same queries"),
        ({"base_model": "./no-such-model"}, "base_model: the folder './no-such-model' does not exist"),
        ({"base_model": "hf:owner/model"}, "neither a folder nor a name on the hub"),
    ],
)
def test_what_cannot_be_computed_is_told_by_a_dry_run(clone, overlay, tmp_path, settings, message):
    assert message in refused_unrun(clone, tmp_path / "work", *overlay(settings))


def test_the_same_file_for_training_and_judging_however_it_is_named(folder_study, overlay):
    engine = folder_study()
    qrels = engine.directory / "mine/qrels"
    (qrels / "train.tsv").symlink_to("test.tsv")
    (engine.directory / "again").symlink_to("mine")
    trained = {"collections": {"mine": {"train": "train"}}}
    assert "'train' and 'test' are the same queries" in failure(engine, "-n", overlays=overlay(trained))
    twice = {"collections": {"mine": {"splits": {"held": "test"}}}}
    assert "'test' and 'held' are the same queries" in failure(engine, "-n", overlays=overlay(twice))


def test_a_corpus_too_small_for_a_map_stops_a_study_and_no_run(folder_study):
    engine = folder_study(passages=PASSAGES[:9])
    text = failure(engine)
    assert "collections.mine: 9 passage(s), and project_embeddings needs at least 10" in text
    assert not (engine.directory / "data").exists()
    engine.succeed("-n", "results/folder/runs/base/seed-0/mine/test.trec")


def test_an_index_that_faiss_cannot_make_stops_before_anything_is_computed(clone, overlay, tmp_path):
    engine = clone.elsewhere(tmp_path / "work")
    text = failure(engine, overlays=overlay({"encoding": {"index": "PQ7x4"}}))
    assert "encoding.index: FAISS makes no index 'PQ7x4' of vectors of 384 dimensions" in text
    assert not (tmp_path / "work/results").exists() and not (tmp_path / "work/data").exists()


def test_more_tokens_than_vectors_stop_before_anything_is_computed(clone, overlay, base_model, tmp_path):
    local = shutil.copytree(base_model, tmp_path / "model")
    tokenizer = json.loads((local / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(dict(tokenizer["added_tokens"][0], id=30522, content="[MINE]"))
    (local / "tokenizer.json").write_text(json.dumps(tokenizer))
    engine = clone.elsewhere(tmp_path / "work")
    assert "its tokenizer gives '[MINE]' the number 30522" in failure(
        engine, overlays=overlay({"base_model": str(local)})
    )
    assert not (tmp_path / "work/results").exists() and not (tmp_path / "work/data").exists()


def test_what_is_wrong_with_the_last_collection_is_told_before_a_model_is_used(
    folder_study, prepared_base, overlay, offline
):
    """A download that does not have its published checksum: every collection is checked before the first is encoded."""
    (offline / "vaswani").mkdir(parents=True)
    (offline / "vaswani/npl.tar.gz").write_bytes(b"not it")
    engine = folder_study().given(prepared_base)
    settings = {"collections": {"last": {"corpus": "vaswani", "splits": {"test": "vaswani"}}}}
    # All that is needed for rankings, and not what would follow.
    wanted = [f"results/folder/runs/base/seed-0/{name}/test.trec" for name in ("mine", "last")]
    text = failure(engine, "--keep-going", *wanted, overlays=overlay(settings))
    rules = re.findall(r"^(?:local)?rule (\w+):", text, re.MULTILINE)
    assert "MD5" in text
    assert rules.index("download_collection") < rules.index("encode_corpus")
    assert rules.index("export_corpus") < rules.index("encode_corpus")


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
        ({"passages": PASSAGES[:1]}, "mine: 1 passage(s), and measure_geometry needs at least 2"),
        ({"passages": [*PASSAGES, {"_id": "d99", "text": "Half \ud83d"}]}, "'d99' holds half of a surrogate pair"),
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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "corpus.jsonl",
            b'{"_id": "d1", "text": "Whole."}\n{"_id": "d2", "te',
            "mine/corpus.jsonl:2: not a JSON object",
        ),
        ("corpus.jsonl", b'{"_id": "d1", "text": "A \0 byte."}\n', "mine/corpus.jsonl:1: not a JSON object"),
        ("corpus.jsonl", '{"_id": "d1", "text": "Größe"}\n'.encode("latin-1"), "mine/corpus.jsonl:1: not UTF-8"),
        (
            "corpus.jsonl.gz",
            gzip.compress(b"{}\n", mtime=0),
            "mine/corpus.jsonl and mine/corpus.jsonl.gz are both there",
        ),
        ("corpus.jsonl", None, "mine/corpus.jsonl: there is no such file"),
    ],
)
def test_a_damaged_folder(folder_study, name, content, message):
    engine = folder_study()
    path = engine.directory / "mine" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert message in failure(engine, "data/mine/manifest.json")
    assert not list((engine.directory / "data").rglob("*.parquet"))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty home of ir_datasets, and no way to the network."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpus": "vaswan", "splits": {"test": "vaswani"}}, "Hint: did you mean vaswani"),
        (
            {"corpus": "msmarco-passage", "splits": {"test": "msmarco-passage/eval"}},
            "'msmarco-passage/eval' has no qrels",
        ),
        (
            {"corpus": "beir/scifact", "splits": {"test": "vaswani"}},
            "belongs to the corpus 'vaswani', not to 'beir/scif",
        ),
        (
            {"corpus": "vaswani", "splits": {"test": "vaswani"}, "text": "untitled"},
            "'vaswani' has no text 'untitled': its passages have no titles",
        ),
        (
            {"corpus": "vaswani", "splits": {"test": "vaswani"}},
            "home/vaswani/npl.tar.gz (2.1MB, http://ir.dcs.gla.ac.uk/resources/test_collections/npl/npl.tar.gz)\n"
            "Hint: where there is a network, run `snakemake --cores 1 data/mine/download.json`",
        ),
    ],
)
def test_ids_of_ir_datasets_are_checked_before_anything_is_downloaded(
    folder_study, overlay, offline, settings, message
):
    engine = folder_study()
    text = failure(engine, "data/mine/manifest.json", overlays=overlay({"collections": {"mine": settings}}))
    assert message in text
    # What the ids tell is told before any job; what is missing of them by the job that wants it.
    assert text.count("Error in rule ") == message.startswith("home/")
    assert {path.name for path in (engine.directory / "data").rglob("*.json")} <= {"plan.json"}
    assert not list(offline.rglob("*.gz"))


def test_ids_with_white_space_and_slashes_and_files_from_windows_are_measured(folder_study, prepared_base):
    engine = folder_study().given(prepared_base)
    mine = engine.directory / "mine"
    ids = ["a passage", "../up/and away", "50%20off", "https://example.org/a?b=c", *(f"d{n}" for n in range(4))]
    rows = [{"_id": name, "title": "", "text": f"Item {n} is described here."} for n, name in enumerate(ids)]
    files = {
        "corpus.jsonl": [json.dumps(row) for row in rows],
        "queries.jsonl": [json.dumps({"_id": f"query {n}/", "text": f"item {n}"}) for n in range(4)],
        "qrels/test.tsv": [f"query {n}/\t{ids[n]}\t1" for n in range(4)],
    }
    for name, lines in files.items():
        # A byte order mark and line ends of Windows.
        (mine / name).write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    run = "results/folder/runs/base/seed-0/mine/test.trec"
    engine.succeed("data/mine/manifest.json", "results/folder/measures.parquet", run)
    rankings = read_run(engine.directory / run)
    assert list(rankings) == [f"query {n}/" for n in range(4)]
    assert {doc_id for ranking in rankings.values() for doc_id, _ in ranking} <= set(ids)
    rows = read_rows(engine.directory / "results/folder/measures.parquet", "measures").to_pylist()
    assert {row["query_id"] for row in rows} == set(rankings)
    for row in rows:
        if row["measure"] == "RR@10":
            ranked = [doc_id for doc_id, _ in rankings[row["query_id"]]]
            relevant = ids[int(row["query_id"][6])]
            assert row["value"] == (1 / (ranked.index(relevant) + 1) if relevant in ranked else 0)
    assert not list(engine.directory.parent.glob("up"))


def test_empty_passages_and_queries_are_dropped_where_the_collection_says_so(folder_study, overlay):
    engine = folder_study(
        passages=[*PASSAGES, {"_id": "d98", "text": " "}], queries=[*QUERIES, {"_id": "q3", "text": ""}]
    )
    engine.succeed("data/mine/manifest.json", overlays=overlay({"collections": {"mine": {"drop_empty": True}}}))
    manifest = read_json(engine.directory / "data/mine/manifest.json")
    assert (manifest["corpus"]["kept"], manifest["corpus"]["dropped"]) == (12, {"empty": 1})
    assert manifest["splits"]["test"]["queries"] == {"read": 3, "kept": 2, "dropped": {"empty": 1}}


def test_a_corpus_in_another_text_lies_beside_its_own(folder_study):
    engine = folder_study(passages=[{**row, "title": "Title"} for row in PASSAGES])
    engine.succeed("data/mine/texts/untitled/corpus/manifest.json", "data/mine/corpus/manifest.json")
    own, other = (
        read_json(engine.directory / f"data/mine/{place}/manifest.json")
        for place in ("corpus", "texts/untitled/corpus")
    )
    assert (own["text"]["name"], other["text"]["name"]) == ("default", "untitled")
    assert own["digest"] != other["digest"] and own["kept"] == other["kept"]
    (first,) = (engine.directory / "data/mine/texts/untitled/corpus").glob("1-of-*.parquet")
    assert read_rows(first, "corpus")["text"][0].as_py() == PASSAGES[0]["text"]


def test_a_depth_beyond_the_corpus_is_cut_with_a_line_that_says_so(folder_study, prepared_base, overlay):
    engine = folder_study().given(prepared_base)
    target = "results/folder/runs/base/seed-0/mine/test.trec"
    text = engine.succeed(target, overlays=overlay({"ranking": {"depth": 1000}}))
    assert "ranking.depth: 1000 passages a query are asked for and 'mine' has 12, so all are ranked." in text
    rankings = read_run(engine.directory / target)
    assert {query: len({doc for doc, _ in ranking}) for query, ranking in rankings.items()} == {"q1": 12, "q2": 12}
    log = (engine.directory / "results/folder/logs/rank/base/seed-0/mine-test.log").read_text()
    assert "1000 passages a query are asked for, and there are 12" in log


def test_the_same_folder_without_a_mistake_gives_a_report(folder_study):
    engine = folder_study()
    engine.succeed()
    assert (engine.directory / "results/folder/report.html").is_file()
