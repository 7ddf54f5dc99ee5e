"""Training on several collections as one, in shares, from a file and a data set of the hub to the report."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backfire.datasets.pydocs import collection_file
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

pytestmark = pytest.mark.workflow
RESULTS = "results/joined"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Two domains, docstrings of one package each.
FILES = {"ours": ("scipy", 150), "theirs": ("numpy", 120)}


@pytest.fixture(scope="module")
def joined(clone, prepared_base, tmp_path_factory):
    """The study, run once; the hub's cache holds what the second collection is made of, and there is no network."""
    engine = clone.on("joined").elsewhere(tmp_path_factory.mktemp("joined")).given(prepared_base)
    records = [json.loads(line) for line in collection_file().open(encoding="utf-8")]
    rows = {
        name: [{"query": row["query"], "passage": row["text"]} for row in records if row["package"] == package][:count]
        for name, (package, count) in FILES.items()
    }
    # Questions that both have; by the shares that are held out some are judged in one and not in the other.
    rows["theirs"] += [row | {"query": rows["ours"][at]["query"]} for at, row in enumerate(rows["theirs"][:40])]
    (engine.directory / "ours.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in rows["ours"]))
    hub = tmp_path_factory.mktemp("hub") / "datasets--me--theirs"
    (hub / f"snapshots/{COMMIT}/numpy").mkdir(parents=True)
    (hub / "refs").mkdir()
    (hub / "refs/main").write_text(COMMIT)
    pq.write_table(pa.Table.from_pylist(rows["theirs"]), hub / f"snapshots/{COMMIT}/numpy/train-00000-of-00001.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(hub.parent))
        patch.setenv("HF_HUB_OFFLINE", "1")
        engine.succeed()
        yield engine


def ids(engine, path, kind, column):
    return [row[column] for row in read_rows(engine.directory / path, kind).to_pylist()]


def test_the_passages_of_both_are_one_corpus(joined):
    parts = {
        name: [each for path in sorted((joined.directory / f"data/{name}/corpus").glob("*.parquet"))
               for each in ids(joined, path, "corpus", "doc_id")]
        for name in FILES
    }  # fmt: skip
    whole = [
        each for shard in (1, 2) for each in ids(joined, f"data/both/corpus/{shard}-of-2.parquet", "corpus", "doc_id")
    ]
    assert whole == [f"{name}/{each}" for name, found in parts.items() for each in found]


def test_a_data_set_of_the_hub_is_fetched_once_and_told_by_its_commit(joined):
    manifest = read_json(joined.directory / "data/theirs/manifest.json")
    assert manifest["pairs"]["hub"]["commit"] == COMMIT and manifest["pairs"]["hub"]["rows"] == {"train": 160}
    assert {path.name for path in (joined.directory / "data/theirs/hub").iterdir()} == {"rows", "manifest.json"}
    page = (joined.directory / RESULTS / "report.html").read_text()
    assert "the passages of hf:me/theirs/numpy" in page and COMMIT in page


def test_each_gives_its_share_of_the_examples_and_no_query_that_is_judged_or_watched(joined):
    triples = read_rows(joined.directory / f"{RESULTS}/triples/bm25/seed-0.parquet", "triples").to_pylist()
    of = Counter(row["query_id"].split("/")[0] for row in triples)
    assert read_json(joined.directory / f"{RESULTS}/triples/bm25/seed-0.json")["of"] == of
    assert of["ours"] == pytest.approx(3 * of["theirs"], abs=2) and of["theirs"] > 20
    trained = set(ids(joined, "data/both/queries/train.parquet", "queries", "query_id"))
    watched = set(ids(joined, "data/both/queries/watched.parquet", "queries", "query_id"))
    assert {row["query_id"] for row in triples} <= trained and watched and not trained & watched
    for name in FILES:
        assert not trained & {
            f"{name}/{each}" for each in ids(joined, f"data/{name}/queries/test.parquet", "queries", "query_id")
        }
    judged = {text for name in FILES for text in ids(joined, f"data/{name}/queries/test.parquet", "queries", "text")}
    asked = {part: ids(joined, f"data/both/queries/{part}.parquet", "queries", "text") for part in ("train", "watched")}
    assert judged.isdisjoint(asked["train"]) and judged.isdisjoint(asked["watched"])
    left_out = read_json(joined.directory / "data/both/manifest.json")["joined"]["train"]
    shared = judged & set(ids(joined, "data/theirs/queries/train.parquet", "queries", "text"))
    assert left_out == {"theirs": len(shared)} and len(shared) > 2
    page = " ".join((joined.directory / RESULTS / "report.html").read_text().split())
    assert f"a query of that wording is judged: {len(shared)} queries of train ({len(shared)} of theirs)." in page
    # Mined among all passages together.
    assert {row["negative_id"].split("/")[0] for row in triples} == set(FILES)


def test_both_are_judged_and_the_whole_is_encoded_by_base_alone(joined):
    rows = read_rows(joined.directory / f"{RESULTS}/comparison.parquet", "comparison").to_pylist()
    assert {(row["collection"], row["split"]) for row in rows} == {("ours", "test"), ("theirs", "test")}
    assert not any(row["retention"] for row in rows), "both are trained on"
    found = {
        path.parent.name for path in (joined.directory / f"{RESULTS}/embeddings/full_bm25/seed-0").glob("*/corpus")
    }
    assert found == set(FILES)
    assert (joined.directory / f"{RESULTS}/embeddings/base/seed-0/both/corpus").is_dir()
    curves = read_rows(joined.directory / f"{RESULTS}/dynamics/full_bm25/seed-0.parquet", "dynamics").to_pylist()
    assert curves[-1]["step"] > 5 and curves[-1]["weight_drift"] > 0


def test_the_report_says_whose_examples_are_trained_on(joined):
    page = " ".join((joined.directory / RESULTS / "report.html").read_text().split())
    of = read_json(joined.directory / f"{RESULTS}/triples/bm25/seed-0.json")["of"]
    assert f"Of these examples {of['ours']} are from ours and {of['theirs']} are from theirs." in page
    assert "the passages of ours and theirs together, with 75% of the examples from ours and 25% of the" in page
    assert "Every query set here is of ours and theirs, which are trained on." in page


def test_other_shares_draw_other_examples_from_the_same_candidates(joined, overlay):
    assert joined.planned() == []
    planned = {
        job.split()[0] for job in joined.planned(overlays=overlay({"collections": {"both": {"of": {"ours": 1}}}}))
    }
    assert {"sample_triples", "train_variant", "write_report"} <= planned
    assert planned.isdisjoint({"join_passages", "join_queries", "mine_bm25", "merge_candidates", "tokenize_corpus"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": {"theirs": None, "their": 1}}, "collections.both.of: 'their' is not a collection of this study"),
        ({"of": {"theirs": None}}, "collections.both.of: found {'ours': 3}, expected at least 2 entries"),
        ({"of": {"theirs": "much"}}, "collections.both.of.theirs: found the text 'much', expected a number"),
        ({"of": ["ours", "their"]}, "collections.both.of: 'their' is not a collection of this study"),
        ({"of": None}, "collections.both.of: found None, expected array or object"),
        ({"train": "trian"}, "collections.both.train: 'ours' has no query set 'trian'; it has train, test."),
        ({"of": ["ours", "theirs"], "corpus": "ours.jsonl"}, "unknown key 'corpus' where kind is 'joined'"),
        ({"splits": {"all": "test", "again": "train"}}, "'train' and 'again' are the same queries"),
    ],
)
def test_a_mistake_is_told_before_anything_is_computed(joined, overlay, settings, message):
    done = joined.run("--dry-run", overlays=overlay({"collections": {"both": settings}}))
    text = done.stdout + done.stderr
    assert done.returncode != 0 and message in text and "Hint: " in text, text[-3000:]
