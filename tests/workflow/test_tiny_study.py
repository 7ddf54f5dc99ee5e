"""The tiny study from raw text to report: what it leaves, that it repeats, and that shards do not show."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file

from backfire.formats.embeddings import read_embeddings, read_norms
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows
from backfire.formats.trec import read_run
from backfire.retrieval.fusion import fuse

pytestmark = pytest.mark.workflow
RESULTS = "results/tiny"
RUNS = ["base", "full_bm25", "lora_hard"]


def test_everything_that_people_read_is_there(tiny):
    results = tiny.directory / RESULTS
    data = tiny.directory / "data/tiny"
    manifest = json.loads((data / "manifest.json").read_text())
    assert manifest
    assert read_rows(data / "queries/test.parquet", "queries").num_rows > 30
    assert read_rows(data / "qrels/test.parquet", "qrels").num_rows > 30
    corpus = [read_rows(data / f"corpus/{i}-of-2.parquet", "corpus") for i in (1, 2)]
    assert [part.num_rows for part in corpus] == [120, 120]
    for variant in RUNS:
        run = f"{variant}/seed-0"
        assert (results / "models" / run / "model.safetensors").is_file()
        doc_ids, vectors = read_embeddings(results / "embeddings" / run / "tiny/corpus/1-of-2.parquet", "doc_id")
        assert doc_ids == corpus[0]["doc_id"].to_pylist()
        assert vectors.shape == (120, 384)
        assert (results / "index" / run / "tiny/2-of-2.faiss").is_file()
        ranking = read_run(results / "runs" / run / "tiny/test.trec")
        assert all(len(documents) == 50 for documents in ranking.values())
        for documents in ranking.values():
            assert documents == sorted(documents, key=lambda hit: (-hit[1], hit[0]))
    assert (results / "models/lora_hard/seed-0/adapter/adapter_model.safetensors").is_file()
    for kind in ("measures", "ties", "comparison", "moved", "strata", "geometry", "cost", "protocol"):
        assert pq.read_schema(results / f"{kind}.parquet").names == SCHEMAS[kind].names
    for figure in ("dynamics", "projection", "effects", "queries", "cost"):
        assert (results / f"figures/{figure}.svg").stat().st_size > 1000
        assert (results / f"figures/{figure}.png").stat().st_size > 1000
    page = (results / "report.html").read_text()
    assert all(variant in page for variant in RUNS)
    assert "What the protocol is worth" in page and "Which queries" in page and "Published against this run" not in page
    assert "http://" not in page.replace("http://www.w3.org", "") or 'src="http' not in page


def test_lengths_before_normalisation_are_those_of_all_passages(tiny):
    results = tiny.directory / RESULTS
    rows = read_rows(results / "geometry.parquet", "geometry").to_pylist()
    found = {(row["variant"], row["collection"]): row["value"] for row in rows if row["quantity"] == "raw_norm"}
    for (variant, collection), value in found.items():
        shards = sorted((results / f"embeddings/{variant}/seed-0/{collection}/corpus").glob("*.parquet"))
        norms = np.concatenate([read_norms(shard, "doc_id") for shard in shards])
        assert value == pytest.approx(norms.mean(dtype=np.float64), rel=1e-9)
    assert {variant for variant, _ in found} == set(RUNS)
    assert len(set(found.values())) == len(found), "trained vectors are not as long as base's"


def test_no_job_loads_what_it_does_not_use(tiny):
    """Start-up is most of a small job, so what each rule may load is written down here."""
    # What a model is held against, where it is tried out.
    library = {"peft", "scipy", "sentence_transformers", "sklearn", "torch", "torch._dynamo", "transformers"}
    allowed = {
        "prepare_base": library,
        "encode_corpus": {"torch"},
        "encode_corpus_of_choice": {"torch"},
        "encode_queries": {"torch"},
        "encode_queries_of_choice": {"torch"},
        "measure_latency": {"torch"},
        "plan_study": library,
        "settle_arithmetic": {"torch"},
        "train_variant": library,
        "look_ahead": {"torch", "torch._dynamo"},
        "forecast_study": {"scipy"},
        "recommend": {"scipy"},
        # The interval of a change of the space.
        "write_report": {"scipy"},
        # bm25s loads both.
        "count_terms": {"numba", "scipy"},
        "mine_bm25": {"numba", "scipy"},
        "compare_variants": {"scipy", "statsmodels"},
        "examine_triples": {"scipy", "statsmodels"},
        "explain_queries": {"scipy", "statsmodels"},
        "compare_protocols": {"scipy"},
        "project_embeddings": {"umap", "numba", "scipy", "sklearn"},
        **{f"plot_{name}": {"matplotlib"} for name in ("cost", "dynamics", "effects", "projection", "queries")},
        "plot_recommendation": {"matplotlib", "scipy"},
    }
    # pyarrow loads pandas with its first array, 0.4 s, and knows no way to leave it out.
    everywhere = {"pandas"}
    logs = tiny.directory / RESULTS / "logs"
    found = {}
    for log in logs.rglob("*.log"):
        rule = log.relative_to(logs).parts[0].removesuffix(".log")
        (loaded,) = re.findall(r"large packages loaded: (.*)", log.read_text())
        found.setdefault(rule, set()).update(set(loaded.split(", ")) - {"none"})
    assert {"encode_corpus", "train_variant", "rank", "measure_run"} <= found.keys()
    surplus = {rule: loaded - everywhere - allowed.get(rule, set()) for rule, loaded in found.items()}
    assert surplus == dict.fromkeys(found, set())


def test_every_variant_measures_every_query_once(tiny):
    rows = read_rows(tiny.directory / RESULTS / "measures.parquet", "measures").to_pandas()
    counts = rows.groupby(["variant", "split", "measure"]).query_id.nunique().unstack("variant")
    assert (counts.nunique(axis=1) == 1).all()
    assert set(rows.measure) == {"RR@10", "nDCG@10", "R@100", "AP"}
    assert not rows.duplicated(["variant", "seed", "split", "measure", "query_id"]).any()
    assert rows.value.between(0, 1).all()
    assert rows[(rows.variant == "base") & (rows.measure == "RR@10")].value.mean() > 0.3


def test_training_moves_the_tuned_variants_and_nothing_else(tiny):
    rows = read_rows(tiny.directory / RESULTS / "measures.parquet", "measures").to_pandas()
    means = rows.groupby("variant").value.mean()
    assert means.nunique() == 3
    steps = read_rows(tiny.directory / RESULTS / "dynamics/full_bm25/seed-0.parquet", "dynamics").to_pylist()
    assert [row["step"] for row in steps] == [0, 1, 2]


def test_the_queries_that_moved_most_are_those_of_the_measures_with_the_ranks_of_the_runs(tiny):
    rows = read_rows(tiny.directory / RESULTS / "moved.parquet", "moved").to_pylist()
    values = read_rows(tiny.directory / RESULTS / "measures.parquet", "measures").to_pandas()
    values = values[(values.split == "test") & (values.measure == "RR@10")].pivot(
        index="query_id", columns="variant", values="value"
    )
    qrels = read_rows(tiny.directory / "data/tiny/qrels/test.parquet", "qrels").to_pylist()
    relevant = {(row["query_id"], row["doc_id"]) for row in qrels}
    assert rows and {row["variant"] for row in rows} <= set(RUNS[1:])
    for variant in RUNS[1:]:
        differences = values[variant] - values.base
        losses = [row["delta"] for row in rows if (row["variant"], row["direction"]) == (variant, "loss")]
        assert losses == pytest.approx(sorted(differences[differences < 0])[:10])
    for name, column in (("base", "base_rank"), *((variant, "variant_rank") for variant in RUNS[1:])):
        run = read_run(tiny.directory / RESULTS / f"runs/{name}/seed-0/tiny/test.trec")
        for row in rows:
            if name in ("base", row["variant"]):
                query_id = row["query_id"]
                ranks = [n for n, (doc_id, _) in enumerate(run[query_id], 1) if (query_id, doc_id) in relevant]
                assert row[column] == min(ranks, default=None)


def test_a_shorter_length_is_worth_what_a_run_at_that_length_shows(tiny, prepared_base, tmp_path):
    rows = read_rows(tiny.directory / RESULTS / "protocol.parquet", "protocol").to_pylist()
    factors = dict.fromkeys((row["factor"], row["choice"]) for row in rows)
    lengths, ids = (
        [("max_length", "64"), ("max_length", "32")],
        [("identical ids", "kept"), ("identical ids", "dropped")],
    )
    assert list(factors) == [*lengths, *ids, *(("ties", order) for order in ("by passage id", "best", "worst"))]
    overlay = tmp_path / "short.yaml"
    overlay.write_text(yaml.safe_dump({"encoding": {"max_length": 32}, "protocol": None}))
    engine = tiny.elsewhere(tmp_path).given(prepared_base)
    engine.succeed(f"{RESULTS}/measures/base/seed-0.parquet", overlays=(overlay,))
    measured = read_rows(tmp_path / f"{RESULTS}/measures/base/seed-0.parquet", "measures").to_pandas()
    for row in rows:
        if row["choice"] == "32":
            values = measured[(measured.split == "test") & (measured.measure == row["measure"])].value
            assert row["mean"] == pytest.approx(values.mean(), abs=1e-12)
            assert row["delta"] < 0 < row["changed"]


def test_a_second_run_has_nothing_to_do(tiny):
    assert "Nothing to be done" in tiny.succeed()


def test_the_engines_own_report_holds_the_page_and_the_figures(tiny):
    tiny.succeed("--report", "engine-report.html")
    page = (tiny.directory / "engine-report.html").read_text()
    for result in ("report.html", "effects.svg", "queries.svg", "dynamics.svg", "projection.svg", "cost.svg"):
        assert result in page


def test_the_same_study_elsewhere_gives_the_same_measures(tiny, tmp_path):
    again = tiny.elsewhere(tmp_path / "elsewhere")
    again.succeed(f"{RESULTS}/measures.parquet", f"{RESULTS}/comparison.parquet")
    for name in ("measures.parquet", "comparison.parquet", "comparison.csv"):
        left, right = (engine.directory / RESULTS / name for engine in (tiny, again))
        assert left.read_bytes() == right.read_bytes(), name


def test_the_number_of_shards_does_not_show(tiny, prepared_base, tmp_path):
    runs = {}
    for shards in (1, 3):
        overlay = tmp_path / f"{shards}.yaml"
        overlay.write_text(yaml.safe_dump({"encoding": {"shards": shards}}))
        target = f"{RESULTS}/runs/base/seed-0/tiny/test.trec"
        tiny.elsewhere(tmp_path / str(shards)).given(prepared_base).succeed(target, overlays=(overlay,))
        runs[shards] = (tmp_path / str(shards) / target).read_bytes()
    assert runs[1] == runs[3]
    assert runs[1] == (tiny.directory / RESULTS / "runs/base/seed-0/tiny/test.trec").read_bytes()


def test_one_run_file_asks_for_its_chain_only(tiny, tmp_path):
    planned = tiny.elsewhere(tmp_path).planned(f"{RESULTS}/runs/base/seed-0/tiny/test.trec")
    assert sorted({job.split()[0] for job in planned}) == [
        "encode_corpus",
        "encode_queries",
        "export_corpus",
        "export_queries",
        "index_shard",
        "prepare_base",
        "rank",
        "settle_arithmetic",
        "tokenize_corpus",
    ]


def test_base_agrees_with_the_librarys_own_evaluator(tiny, prepared_base, tmp_path):
    """RR@10 of base in fp32, through the workflow and through InformationRetrievalEvaluator, on the same data."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    overlay = tmp_path / "fp32.yaml"
    overlay.write_text(yaml.safe_dump({"encoding": {"precision": "fp32"}}))
    engine = tiny.elsewhere(tmp_path).given(prepared_base)
    engine.succeed(f"{RESULTS}/measures/base/seed-0.parquet", overlays=(overlay,))
    rows = read_rows(tmp_path / f"{RESULTS}/measures/base/seed-0.parquet", "measures").to_pandas()
    ours = rows[(rows.split == "test") & (rows.measure == "RR@10")].value.mean()

    data = tmp_path / "data/tiny"
    corpus = {}
    for part in sorted(data.glob("corpus/*.parquet")):
        corpus |= dict(zip(*read_rows(part, "corpus").to_pydict().values(), strict=True))
    queries = dict(zip(*read_rows(data / "queries/test.parquet", "queries").to_pydict().values(), strict=True))
    relevant = {}
    for row in read_rows(data / "qrels/test.parquet", "qrels").to_pylist():
        relevant.setdefault(row["query_id"], set()).add(row["doc_id"])
    model = SentenceTransformer(str(tmp_path / f"{RESULTS}/models/base/seed-0"), device="cpu")
    model.max_seq_length = 64
    evaluator = InformationRetrievalEvaluator(queries, corpus, relevant, mrr_at_k=[10], name="test", write_csv=False)
    theirs = next(value for name, value in evaluator(model).items() if name.endswith("cosine_mrr@10"))
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_what_is_seen_before_training_is_printed_and_holds_no_training(tiny, tmp_path):
    """In an empty folder nothing is trained for it; in the finished one it is printed again."""
    planned = tiny.succeed("--dry-run", "--forceall", "check")
    assert "rule look_ahead" in planned and not re.search(r"rule (train_variant|mix_weights|compare_variants)", planned)
    printed = tiny.succeed("check")
    assert "Before training: tiny" in printed and "What this study can settle" in printed
    found = json.loads((tiny.directory / RESULTS / "forecast.json").read_text())
    assert set(found["looks"]) == {"full_bm25", "lora_hard"} and found["power"]["claims"] == 2
    about = {(each["check"], each["about"]) for each in found["findings"]}
    assert ("one seed", "seeds") in about
    page = " ".join((tiny.directory / RESULTS / "report.html").read_text().split())
    assert "What could be seen before training" in page
    for each in found["findings"]:
        assert each["about"] in printed and each["about"] in page
    # The curve's first step has the loss and the share of active triplets that were seen on a part of its examples.
    for variant, look in found["looks"].items():
        first = read_rows(tiny.directory / RESULTS / f"dynamics/{variant}/seed-0.parquet", "dynamics").to_pylist()[1]
        assert look["active"] == pytest.approx(first["active_triplets"], abs=0.35)


def test_alternatives_are_made_of_the_variant_that_was_watched_best(tiny, overlay, tmp_path):
    there = tiny.cloned(tmp_path / "clone")
    for part in ("data", "results", ".snakemake"):
        shutil.copytree(tiny.directory / part, there.directory / part)
    printed = there.succeed(overlays=overlay({"alternatives": "cheap"}))
    assert "rule train_variant" not in printed and "rule mix_weights" in printed
    results = there.directory / RESULTS
    (choice,) = (results / "best").glob("*.json")
    best = json.loads(choice.read_text())
    last = {
        name: [
            row["dev_RR@10"]
            for row in read_rows(results / f"dynamics/{name}/seed-0.parquet", "dynamics").to_pylist()
            if row["dev_RR@10"] is not None
        ][-1]
        for name in ("full_bm25", "lora_hard")
    }
    assert best["values"] == last and best["chosen"] == max(last, key=last.get)
    weights = {
        name: load_file(results / f"models/{name}/seed-0/model.safetensors")
        for name in ("base", "best_mixed", best["chosen"])
    }
    mix = json.loads((results / "models/best_mixed/seed-0/mix.json").read_text())
    assert [shares for shares, _ in mix["tried"]] == [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]
    assert dict((tuple(shares), value) for shares, value in mix["tried"])[tuple(mix["shares"])] == max(
        value for _, value in mix["tried"]
    )
    for tensor, mixed in weights["best_mixed"].items():
        expected = mix["shares"][0] * weights["base"][tensor] + mix["shares"][1] * weights[best["chosen"]][tensor]
        np.testing.assert_allclose(mixed, expected, atol=1e-6)
    runs = {
        name: read_run(results / f"runs/{name}/seed-0/tiny/test.trec") for name in ("bm25", "bm25_best", best["chosen"])
    }
    for query, ranking in runs["bm25_best"].items():
        parts = [runs[name].get(query, []) for name in ("bm25", best["chosen"])]
        assert [doc for doc, _ in ranking] == [doc for doc, _ in fuse(parts, 60)][: len(ranking)]
    rows = read_rows(results / "comparison.parquet", "comparison").to_pylist()
    added = {"bm25", "bm25_base", "bm25_best", "best_mixed"}
    assert {row["variant"] for row in rows} == {*RUNS, *added} and (results / "checks.json").is_file()
    families = {name: {row["variant"] for row in rows if row["family"] == name} for name in ("claims", "alternatives")}
    assert families == {"claims": {*RUNS} - {"base"}, "alternatives": added}
    systems = {
        row["variant"]: row for row in read_rows(results / "recommendation.parquet", "recommendation").to_pylist()
    }
    assert systems.keys() == {*RUNS, *added} and [row["standing"] for row in systems.values()].count("recommended") == 1
    assert all(row["query_time"] > 0 for row in systems.values())
    assert systems["bm25_base"]["setup_time"] == 0 < systems["best_mixed"]["setup_time"]
    page = " ".join((results / "report.html").read_text().split())
    assert f"best_mixed and bm25_best take {best['chosen']} for the best, by RR@10" in page
    assert f"best_mixed, seed 0: {mix['shares'][1]:g} of the second model" in page
