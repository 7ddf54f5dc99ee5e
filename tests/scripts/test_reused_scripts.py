"""Which jobs of a second study take results of the first from the cache, and that a change of anything is a miss."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from backfire.provenance.cache import VARIABLE

PASSAGES = {
    "sort": ("Sorting", "Sort the elements of an array along an axis and return a sorted copy of it."),
    "fft": ("Fourier", "Compute the discrete Fourier transform of a signal with the fast algorithm."),
    "svd": ("", "Factor a matrix into singular vectors and singular values."),
    "mean": ("", "Compute the arithmetic mean along the specified axis of an array."),
}
QUERIES = {"q1": "sorted copy of an array", "q2": "mean along an axis"}
ANSWERS = {"q1": "sort", "q2": "mean"}


@pytest.fixture
def source(tmp_path):
    """A folder in BEIR layout."""
    folder = tmp_path / "mine"
    (folder / "qrels").mkdir(parents=True)
    write_passages(folder, PASSAGES)
    rows = [json.dumps({"_id": name, "text": text}) for name, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")
    rows = [f"{query}\t{passage}\t1" for query, passage in ANSWERS.items()]
    (folder / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")
    return folder


def write_passages(folder, passages):
    rows = [json.dumps({"_id": name, "title": title, "text": text}) for name, (title, text) in passages.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")


@pytest.fixture
def model(base_model, tmp_path):
    """A static model of 16 dimensions with the real tokenizer, which needs no torch."""
    folder = tmp_path / "model"
    folder.mkdir()
    table = load_file(base_model / "model.safetensors")["embeddings.word_embeddings.weight"][:, :16]
    save_file({"embedding.weight": table.astype(np.float32)}, folder / "model.safetensors")
    shutil.copyfile(base_model / "tokenizer.json", folder / "tokenizer.json")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.fixture
def study(script, source, model, tmp_path):
    """A function that runs the cached jobs of a study in a folder; gives what they wrote, and which of them reused."""

    def run(name, **changes):
        folder = tmp_path / name
        shutil.rmtree(folder, ignore_errors=True)
        settings = {"text": "default", "max_length": 32, "precision": "fp32", "depth": 2, "size": None, "code": "test"}
        settings |= {"shards": 2, "variant": "base"} | changes
        written, reused = {}, set()
        f = lambda name: str(folder / name)  # noqa: E731

        def step(rule, inputs, outputs, cfg, number="", **wildcards):
            script(rule, folder, inputs, outputs, cfg, code=settings["code"], **wildcards)
            for paths in outputs.values() if isinstance(outputs, dict) else outputs:
                for path in [paths] if isinstance(paths, str) else paths:
                    written[Path(path).name] = Path(path).read_bytes()
            told = (folder / f"logs/{rule}.log").read_text()
            assert "WARNING" not in told
            if "reused from" in told:
                reused.add(f"{rule} {number}".strip())

        numbers = range(1, settings["shards"] + 1)
        shards = [f(f"{number}.parquet") for number in numbers]
        cfg = {"corpus": str(source), "drop_empty": False}
        own = {"size": settings["size"], "text": settings["text"]}
        step("export_corpus", [], {"shards": shards, "manifest": f("corpus.json")}, cfg | own)
        outputs = {kind: f(f"{kind}.parquet") for kind in ("queries", "qrels")} | {"manifest": f("queries.json")}
        step("export_queries", {"shards": shards}, outputs, cfg | {"split": "train", "missing": "refuse", "part": None})
        length = {"max_length": settings["max_length"]}
        encoding = {"precision": settings["precision"], "batch_tokens": None, "label": name}
        for number in numbers:
            inputs = {"model": str(model), "corpus": [shards[number - 1]]}
            step("tokenize_corpus", inputs, {"tokens": [f(f"tokens-{number}.parquet")]}, length, number)
            inputs = {"arithmetic": [], "model": str(model), "tokens": [f(f"tokens-{number}.parquet")]}
            outputs = {"embeddings": [f(f"{number}.emb")], "cost": [f(f"cost-{number}.json")]}
            step("encode_corpus", inputs, outputs, encoding, number, variant=settings["variant"])
            script(
                "index_shard", folder, {"embeddings": [f(f"{number}.emb")]}, {"index": [f(f"{number}.faiss")]}, INDEX
            )
        inputs = {"arithmetic": [], "model": str(model), "queries": f("queries.parquet")}
        outputs = {"embeddings": f("queries.emb")}
        step("encode_queries", inputs, outputs, encoding | length, variant=settings["variant"])
        step("count_terms", shards, [f("terms.parquet")], None)
        depth = {"depth": settings["depth"], "label": name}
        inputs = {"terms": f("terms.parquet"), "corpus": shards, "queries": f("queries.parquet")}
        step("mine_bm25", inputs, [f("bm25.parquet")], depth)
        inputs = {"queries": f("queries.emb"), "embeddings": [f(f"{number}.emb") for number in numbers]}
        inputs["indexes"] = [f(f"{number}.faiss") for number in numbers]
        step("mine_hard", inputs, [f("hard.parquet")], depth)
        return written, reused

    return run


INDEX = {"index": "Flat"}
DATA = {"export_corpus", "export_queries"}
BM25 = {"count_terms", "mine_bm25"}
TOKENS = {"tokenize_corpus 1", "tokenize_corpus 2"}
VECTORS = {"encode_corpus 1", "encode_corpus 2", "encode_queries"}
ALL = DATA | BM25 | TOKENS | VECTORS | {"mine_hard"}


@pytest.fixture
def cached(monkeypatch, study, tmp_path):
    """The files of a first study, which filled the cache."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    written, reused = study("first")
    assert reused == set()
    return written


def test_a_second_study_takes_everything_and_ends_with_the_same_bytes(cached, monkeypatch, study):
    written, reused = study("second")
    assert reused == ALL
    assert written == cached
    monkeypatch.delenv(VARIABLE)
    plain, reused = study("third")
    assert reused == set()
    cost = {name for name in plain if name.startswith("cost")}
    assert {name for name in plain if plain[name] != written[name]} <= cost, "seconds are those of the first study"


def test_the_vectors_of_trained_models_are_not_kept(cached, study):
    written, reused = study("second", variant="full_hard")
    assert reused == ALL - VECTORS
    assert [written[name] == cached[name] for name in ("1.emb", "2.emb", "queries.emb")] == [True] * 3


def test_a_job_of_several_shards_computes_those_that_are_new(cached, script, model, tmp_path):
    f = lambda name: str(tmp_path / "second" / name)  # noqa: E731
    (tmp_path / "second").mkdir()
    tokens = [f("tokens-1.parquet"), f("tokens-2.parquet")]
    shutil.copyfile(tmp_path / "first/tokens-2.parquet", tokens[1])
    corpus = [str(tmp_path / "first/2.parquet")]
    script(
        "tokenize_corpus", tmp_path, {"model": str(model), "corpus": corpus}, {"tokens": tokens[:1]}, {"max_length": 4}
    )
    outputs = {"embeddings": [f("1.emb"), f("2.emb")], "cost": [f("1.json"), f("2.json")]}
    cfg = {"precision": "fp32", "batch_tokens": None, "label": "second"}
    inputs = {"arithmetic": [], "model": str(model), "tokens": tokens}
    script("encode_corpus", tmp_path, inputs, outputs, cfg, variant="base")
    told = (tmp_path / "logs/encode_corpus.log").read_text()
    assert told.count("kept as") == told.count("reused from") == 1
    assert Path(f("2.emb")).read_bytes() == cached["2.emb"] != Path(f("1.emb")).read_bytes()


def one_weight(model, source):
    weights = {name: np.array(values) for name, values in load_file(model / "model.safetensors").items()}
    # A piece of the word "array".
    weights["embedding.weight"][9140, 3] += 0.5
    save_file(weights, model / "model.safetensors")


def tokenizer(model, source):
    settings = json.loads((model / "tokenizer.json").read_text())
    settings["model"]["vocab"]["array"], settings["model"]["vocab"]["axis"] = (
        settings["model"]["vocab"]["axis"],
        settings["model"]["vocab"]["array"],
    )
    (model / "tokenizer.json").write_text(json.dumps(settings))


def prompt(model, source):
    (model / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"document": "passage: "}}))


def one_passage(model, source):
    write_passages(source, PASSAGES | {"mean": ("", "Compute the geometric mean along the specified axis.")})


CHANGES = {
    # (what is edited, what is set otherwise, the jobs that reuse all the same)
    "one weight": (one_weight, {}, DATA | BM25 | TOKENS),
    "tokenizer": (tokenizer, {}, DATA | BM25),
    "prompt": (prompt, {}, DATA | BM25),
    "maximum length": (None, {"max_length": 4}, DATA | BM25),
    "precision": (None, {"precision": "bf16"}, ALL - VECTORS),
    "text variant": (None, {"text": "untitled"}, {"tokenize_corpus 2", "encode_corpus 2", "encode_queries"}),
    "one passage": (one_passage, {}, {"tokenize_corpus 1", "encode_corpus 1", "encode_queries"}),
    "shards": (None, {"shards": 1}, {"encode_queries"}),
    "depth": (None, {"depth": 1}, ALL - {"mine_bm25", "mine_hard"}),
    "code": (None, {"code": "other"}, set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_misses_where_it_matters_and_nowhere_else(cached, monkeypatch, study, source, model, change):
    edit, settings, expected = CHANGES[change]
    if edit:
        edit(model, source)
    written, reused = study("second", **settings)
    assert reused == expected
    if edit or change in ("maximum length", "text variant"):
        assert any(written[name] != cached[name] for name in ("1.emb", "2.emb"))
    monkeypatch.delenv(VARIABLE)
    plain, _ = study("second", **settings)
    assert all(written[name] == plain[name] for name in plain if not name.startswith("cost"))
