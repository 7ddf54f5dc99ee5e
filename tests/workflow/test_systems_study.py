"""Every kind of variant in one study, through the whole workflow, and every rule of advice on it or on the tiny one."""

import gzip
import json

import numpy as np
import pytest
import small_models
import torch
import yaml
from safetensors.numpy import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer

from backfire.evaluation.verdict import Verdict
from backfire.formats.embeddings import read_embeddings
from backfire.formats.tables import read_rows
from backfire.formats.trec import read_run
from backfire.report.advice import RULES
from backfire.report.curves import read_curves
from backfire.report.findings import read_findings
from backfire.retrieval.fusion import fuse
from backfire.study.study import Study
from merged import merged_config
from modules import write_modules

pytestmark = [pytest.mark.workflow, pytest.mark.long]
TRAINED = ["full_hard", "lora_hard", "full_random", "strong", "easy", "still", "asking"]
EMBEDDED = ["base", *TRAINED, "half", "asked"]
SPLITS = ("test", "own", "unseen")


@pytest.fixture(scope="module")
def systems(clone, prepared_base, tmp_path_factory):
    """The study, run, in a folder with the collection and with runs that another tool made: the library itself."""
    folder = tmp_path_factory.mktemp("systems")
    write_modules(folder / "modules")
    by_the_library(folder, clone)
    small_models.cross_encoder(folder / "scorer")
    engine = clone.on("systems").elsewhere(folder).given(prepared_base)
    engine.succeed()
    return engine


def texts(path):
    return {record["_id"]: record["text"] for record in map(json.loads, path.open())}


def by_the_library(folder, clone):
    """TREC runs of base by sentence-transformers and numpy, the last gzipped, in the order of no table."""
    from backfire.encoders.folders import find_base

    model = SentenceTransformer(str(find_base("sentence-transformers/all-MiniLM-L6-v2")))
    model.max_seq_length = 32
    corpus, queries = (texts(folder / f"modules/{name}.jsonl") for name in ("corpus", "queries"))
    ids = sorted(corpus)
    passages = model.encode([corpus[doc_id] for doc_id in ids], normalize_embeddings=True)
    for split in SPLITS:
        lines = (folder / f"modules/qrels/{split}.tsv").read_text().splitlines()[1:]
        asked = sorted({line.split("\t")[0] for line in lines}, reverse=True)
        # Passages of equal text differ in the last bits, by what they were padded with.
        scores = model.encode([queries[query] for query in asked], normalize_embeddings=True) @ passages.T
        text = ""
        for query, row in zip(asked, scores.round(6), strict=True):
            for rank, place in enumerate(np.argsort(-row, kind="stable")[:120], start=1):
                text += f"{query} Q0 {ids[place]} {rank} {row[place]:.6f} library\n"
        if split == "unseen":
            (folder / f"{split}.trec.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{split}.trec").write_text(text)


def findings(engine):
    study = Study(merged_config(engine.source, yaml.safe_load(engine.study.read_text())))
    config, results = study.config, engine.directory / f"results/{study.name}"
    runs = study.trained_runs
    tables = [results / f"dynamics/{name}/seed-{seed}.parquet" for name, seed in runs]
    models = {(name, seed): results / f"models/{name}/seed-{seed}" for name, seed in runs}
    curves = read_curves(tables, runs, models)
    written = (results / f"{name}.parquet" for name in ("comparison", "geometry", "recommendation"))
    return read_findings(*written, curves, config, study.variants)


@pytest.fixture(scope="module")
def compared(systems):
    rows = read_rows(systems.directory / "results/systems/comparison.parquet", "comparison").to_pylist()
    return {(row["variant"], row["split"], row["measure"]): row for row in rows if row["reference"] == "base"}


def run_of(engine, variant, split):
    return read_run(engine.directory / f"results/systems/runs/{variant}/seed-0/modules/{split}.trec")


def test_every_rule_of_advice_speaks_on_a_study_that_comes_along(systems, tiny):
    found = [findings(engine) for engine in (systems, tiny)]
    spoken = [{rule.__name__ for rule in RULES if rule(each)} for each in found]
    assert {rule.__name__ for rule in RULES} == set.union(*spoken), spoken


def test_what_advice_says_is_what_was_built_into_the_study(systems):
    """Hard negatives that are relevant backfire, random ones help; what was not trained is no evidence."""
    given = findings(systems)
    assert "full_hard" in given.having(Verdict.HARMS) and "full_random" in given.having(Verdict.HELPS)
    page = (systems.directory / "results/systems/report.html").read_text()
    assert "Train on random negatives, not on hard ones." in page
    assert "Hardly trained: still." in page


def test_a_run_of_another_tool_is_judged_as_base_that_it_was_made_by(systems, compared):
    for split in SPLITS:
        for measure in ("AP", "RR(rel=2)@10"):
            base, other = (compared[name, split, measure] for name in ("base", "other"))
            assert other["mean"] == pytest.approx(base["mean"], abs=5e-4)
        assert [len(hits) for hits in run_of(systems, "other", split).values()] == [100] * base["queries"]
    assert compared["other", "test", "AP"]["verdict"] == Verdict.EQUIVALENT


def test_only_what_was_trained_here_can_forget(compared):
    kept = {
        name: row["retention"]
        for (name, split, measure), row in compared.items()
        if (split, measure) == ("unseen", "AP")
    }
    assert {name for name, word in kept.items() if word} == {*TRAINED, "half", "both"}


def test_a_mix_lies_where_its_weights_do(systems):
    models = systems.directory / "results/systems/models"
    base, trained, half = (
        load_file(models / name / "seed-0/model.safetensors") for name in ("base", "full_random", "half")
    )
    name = "encoder.layer.3.output.dense.weight"
    np.testing.assert_allclose(half[name], (base[name].astype(float) + trained[name]) / 2, atol=1e-7)
    assert np.abs(half[name] - base[name]).max() > 1e-5
    loaded = SentenceTransformer(str(models / "half/seed-0"))
    assert loaded.encode("a text").shape == (384,)


def test_a_fusion_is_that_of_the_runs_of_its_parents(systems):
    parents = [run_of(systems, name, "test") for name in ("bm25", "full_random")]
    for query, hits in run_of(systems, "both", "test").items():
        expected = fuse([run.get(query, []) for run in parents], 60)[:100]
        assert [doc_id for doc_id, _ in hits] == [doc_id for doc_id, _ in expected]


def test_a_reranking_is_that_of_the_cross_encoder_over_its_parents_run(systems):
    asked = texts(systems.directory / "modules/queries.jsonl")
    passages = texts(systems.directory / "modules/corpus.jsonl")
    encoder = CrossEncoder(
        str(systems.directory / "scorer"), device="cpu", activation_fn=torch.nn.Identity(), max_length=32
    )
    found, parent = (run_of(systems, name, "test") for name in ("sorted", "bm25"))
    assert found.keys() == parent.keys()
    for query in list(found)[:3]:
        first = [doc_id for doc_id, _ in parent[query]][:4]
        scores = encoder.predict([(asked[query], passages[doc_id]) for doc_id in first])
        np.testing.assert_allclose([score for _, score in found[query]][:4], np.sort(scores)[::-1], atol=1e-5)
        assert {doc_id for doc_id, _ in found[query][:4]} == set(first)
        assert [doc_id for doc_id, _ in found[query]][4:] == [doc_id for doc_id, _ in parent[query]][4:]


def test_queries_alone_search_the_passages_that_base_has_encoded(systems):
    """No passage is encoded or indexed for it, and what its folder holds for both sides gives the same scores."""
    results = systems.directory / "results/systems"
    for folder in ("embeddings/asking/seed-0/modules/corpus", "index/asking"):
        assert not (results / folder).exists()
    model = SentenceTransformer(str(results / "models/asking/seed-0/both"))
    model.max_seq_length = 32
    asked, passages = (texts(systems.directory / f"modules/{name}.jsonl") for name in ("queries", "corpus"))
    for query, hits in list(run_of(systems, "asking", "test").items())[:3]:
        vector = model.encode_query([asked[query]], normalize_embeddings=True)
        found = model.encode_document([passages[doc_id] for doc_id, _ in hits[:20]], normalize_embeddings=True)
        np.testing.assert_allclose((found @ vector.T)[:, 0], [score for _, score in hits[:20]], atol=2e-5)
    cost = read_rows(results / "cost.parquet", "cost").to_pylist()
    assert "encoding_rate" not in {row["quantity"] for row in cost if row["variant"] == "asking"}
    rows = {row["variant"]: row for row in read_rows(results / "recommendation.parquet", "recommendation").to_pylist()}
    assert rows["asking"]["passages"] == 0 < rows["full_random"]["passages"]
    assert rows["asking"]["setup_time"] == rows["asking"]["training_time"] > 0


def test_prompts_reach_the_ranking(systems):
    folder = systems.directory / "results/systems"
    texts = read_rows(systems.directory / "data/modules/queries/test.parquet", "queries").to_pylist()[:5]
    prompt = "What is in one module with this: "
    model = SentenceTransformer(str(folder / "models/base/seed-0"))
    model.max_seq_length = 32
    by_hand = model.encode([prompt + row["text"] for row in texts], normalize_embeddings=True)
    found = read_embeddings(folder / "embeddings/asked/seed-0/modules/queries/test.parquet", "query_id")
    vectors = dict(zip(*found, strict=True))
    np.testing.assert_allclose([vectors[row["query_id"]] for row in texts], by_hand, atol=1e-5)


def test_what_has_vectors_is_in_every_table_and_the_others_where_they_can_be(systems):
    results = systems.directory / "results/systems"
    for table in ("geometry", "cost", "projection"):
        found = {row["variant"] for row in read_rows(results / f"{table}.parquet", table).to_pylist()}
        assert found == {*EMBEDDED, *(["sorted", "bm25"] if table == "cost" else [])}
    every = {*EMBEDDED, "bm25", "both", "sorted", "other"}
    for table in ("measures", "comparison", "ties"):
        assert {row["variant"] for row in read_rows(results / f"{table}.parquet", table).to_pylist()} == every
    page = (results / "report.html").read_text()
    assert "reciprocal rank fusion of bm25 and full_random (k 60)" in page and "a run that another tool made" in page
    assert "fine-tuned variants" not in page.split("</h1>")[0]


def test_nothing_is_left_to_do_and_an_edited_run_is_judged_again(systems):
    assert systems.planned() == []
    path = systems.directory / "own.trec"
    text = path.read_text()
    try:
        path.write_text(text.replace(" library", " another"))
        planned = systems.planned()
    finally:
        path.write_text(text)
    assert "take_run other own" in planned and "measure_run other" in planned
    assert not any(job.startswith(("train", "encode", "rank ")) for job in planned)
